-- From a wrong answer back to training: a step of a test item that a tuned model got wrong, if there
-- is one after a step that it got right; its run; and the rows of that run's mixture that hold the
-- same task, those first in which it follows on the same earlier task.
WITH wrong AS (
    SELECT this.id, this.root, this.model, this.training, this.chain, this.position,
        earlier.evidence->>'name' AS after, this.evidence->>'name' AS task, this.reason
    FROM scores AS this JOIN scores AS earlier
        ON (earlier.id, earlier.training, earlier.metric) = (this.id, this.training, 'step')
        AND earlier.position = this.position - 1
    WHERE this.metric = 'step' AND this.value = 0
        AND this.training IN (SELECT sha256 FROM trainings)
        AND (this.id, this.training) IN (SELECT (id, training) FROM responses)
    ORDER BY earlier.value DESC, this.id, this.position LIMIT 1
), taught AS (
    SELECT id, lineage.root AS root, output, list_transform(steps, lambda step: step.name) AS tasks
    FROM records
)
SELECT wrong.id AS wrong_item, wrong.model, 'step ' || wrong.position || ' of ' || wrong.chain AS place,
    wrong.after, wrong.task, responses.output AS answer, wrong.reason,
    list_contains(list_zip(tasks[:-2], tasks[2:]), (wrong.after, wrong.task)) AS same_pair,
    count(*) OVER (PARTITION BY same_pair) AS such_rows,
    taught.id AS training_row, taught.root AS training_root, taught.output AS training_output
FROM wrong
JOIN responses ON responses.id = wrong.id AND responses.training = wrong.training
JOIN taught ON list_contains(taught.tasks, wrong.task)
ORDER BY same_pair DESC, training_row LIMIT 3
