"""The rules pii and secrets: findings and masking, in one process and in several."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqit.errors import UsageError
from seqit.filter import apply, parse_rule
from seqit.filter.rules.personal import passes_luhn, passes_mod_97
from seqit.records.identity import content_id
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema


def record(output="Fine.", instruction="How are you?", **more):
    fields = {"instruction": instruction, "input": "", "output": output} | more
    name = content_id(fields)
    return {"id": name, **fields, "lineage": {"root": name, "iteration": 0, "operation": "seed"}}


def found(rule, text):
    return [(each.kind, text[each.start : each.end]) for each in parse_rule(rule).find(text)]


# --- personal data ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to ann.lee+x@mail.uni-bonn.de.", [("email", "ann.lee+x@mail.uni-bonn.de")]),
        ("<Ann@Lee.org>, bob@lee.org", [("email", "Ann@Lee.org"), ("email", "bob@lee.org")]),
        ("Call +49 30 12345678 now.", [("phone", "+49 30 12345678")]),
        ("Call +1 (202) 456-1111!", [("phone", "+1 (202) 456-1111")]),
        ("tel: +442079460958", [("phone", "+442079460958")]),
        ("0033 1 42 68 53 00", [("phone", "0033 1 42 68 53 00")]),
        (
            "(888) 426-4435 or 650-636-4884",
            [("phone", "(888) 426-4435"), ("phone", "650-636-4884")],
        ),
        ("card 4111 1111 1111 1111, 05/29", [("card", "4111 1111 1111 1111")]),
        ("378282246310005", [("card", "378282246310005")]),
        ("3782 822463 10005", [("card", "3782 822463 10005")]),
        ("5500000000000004", [("card", "5500000000000004")]),
        ("pay DE89 3704 0044 0532 0130 00 today", [("iban", "DE89 3704 0044 0532 0130 00")]),
        ("GB82WEST12345698765432", [("iban", "GB82WEST12345698765432")]),
    ],
)
def test_personal_data(text, expected):
    assert found("pii", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.com and bob@sub.example.org, user@localhost.test",
        "git clone git@github.com:ann/x.git",
        "@ann said so; a@b is no address",
        "import numpy as np  # version 1.24.3",
        "She has 1,234,567 apples and 12345678 pears.",
        "The sum is 4111111111111112.",  # no check digit
        "order 1234 5678 9012 3456",
        "3.1415926535897 and +1.4142135623730951",
        "2023-11-05 10:30:00, 1990-2024, 12/31/1999",
        "Call 212-555-0123.",
        "f(x) = (12) 345 - 6789 * 2",
        "x = +1000000",
        "ISBN 978-3-16-148410-0",
        "DE89 3704 0044 0532 0130 01",
        "192.168.0.1 and 93.184.216.34",
        "0000 0000 0000 0000",
    ],
)
def test_no_personal_data(text):
    assert found("pii", text) == []


def test_ip_addresses_are_found_only_on_request():
    assert found("pii:kinds=ip", "at 93.184.216.34:80, 10.0.0.1, 1.2.3.4.5, 300.1.1.1") == [
        ("ip", "93.184.216.34")
    ]
    assert found("pii:kinds=ip", "ann@lee.org") == []


@given(st.from_regex(r"[2-6][0-9]{12,17}", fullmatch=True))
def test_luhn(digits):
    """Exactly one last digit is valid, and it is invalid if another digit changes."""
    right = [digit for digit in "0123456789" if passes_luhn(digits + digit)]
    assert len(right) == 1
    changed = str((int(digits[0]) + 1) % 10) + digits[1:]
    assert not passes_luhn(changed + right[0])


@given(st.from_regex(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", fullmatch=True))
def test_mod_97(iban):
    right = [n for n in range(97) if passes_mod_97(f"{iban[:2]}{n:02}{iban[4:]}")]
    assert len(right) == 1


# --- secrets ---

KEY = "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"
SECRETS = [
    ("openai", f"sk-{KEY}"),
    ("openai", f"sk-proj-{KEY}_{KEY}"),
    ("openai", f"sk-ant-api03-{KEY}"),
    ("github", f"ghp_{KEY}"),
    ("github", f"github_pat_11{KEY}"),
    ("gitlab", "glpat-aB3dE5fG7hI9jK1lM3nO"),
    ("aws", "AKIAQ4ZK7DHTV2WLXB5N"),
    ("google", f"AIza{KEY[:35]}"),
    ("slack", "xoxb-2468013579-aB3dE5fG7hI9"),
    ("stripe", f"sk_live_{KEY[:24]}"),
    ("huggingface", f"hf_{KEY[:34]}"),
    ("npm", f"npm_{KEY}"),
    ("jwt", f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.{KEY}"),
    (
        "private-key",
        f"-----BEGIN RSA PRIVATE KEY-----\n{KEY}\n{KEY}\n-----END RSA PRIVATE KEY-----",
    ),
    ("private-key", f"-----BEGIN OPENSSH PRIVATE KEY-----\n{KEY}"),
]


@pytest.mark.parametrize(("kind", "secret"), SECRETS)
def test_secrets(kind, secret):
    assert found("secrets", f'key = "{secret}"') == [(kind, secret)]
    others = [name for name, _ in SECRETS if name != kind]
    assert found(f"secrets:kinds={'+'.join(dict.fromkeys(others))}", secret) == []


def test_passwords_in_urls():
    text = "postgres://app:hunt3r_x@db.lee.org/x and https://docs.python.org:443/a@b"
    assert found("secrets", text) == [("password-in-url", "app:hunt3r_x")]


@pytest.mark.parametrize(
    "text",
    [
        "sk-your-key-here-please-fill-it-in, sk-xxxxxxxxxxxxxxxxxxxxxxxx",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a" * 36,
        "risk-management-and-other-hyphenated-words",
        "redis://{user}:{secret}@host",
        "-----BEGIN PUBLIC KEY-----",
        "the AIzawa family, hf_transformers, npm_config_cache",
    ],
)
def test_no_secrets(text):
    assert found("secrets", text) == []


# --- dropping and masking ---


def test_the_evidence_does_not_reveal_the_findings():
    row = record(metadata={"notes": [{"by": "ann.lee@uni-bonn.de"}]})
    rejection = parse_rule("pii").check(row)
    assert rejection.reason == "email"
    assert rejection.evidence == {
        "found": [{"field": "metadata.notes[0].by", "kind": "email", "begins": "ann."}],
        "count": 1,
    }
    assert "ann" not in rejection.message


def test_masking_changes_the_text_the_id_and_the_parent():
    row = record(
        "Ask ann@lee.org or +49 30 12345678; ann@lee.org is faster.",
        "Whom do I ask?",
        system="You are bob@lee.org.",
        history=[["Hi, eve@lee.org", "Hello"]],
        metadata={"by": {"mail": ["eve@lee.org", 3]}, "id": 7},
        images=["ann@lee.org.png"],
    )
    before = json.dumps(row)
    rule = parse_rule("pii:action=mask")
    assert rule.check(row) is None
    masked = rule.mask(row)
    assert json.dumps(row) == before
    assert masked["output"] == "Ask [EMAIL] or [PHONE]; [EMAIL] is faster."
    assert masked["system"] == "You are [EMAIL]."
    assert masked["history"] == [["Hi, [EMAIL]", "Hello"]]
    assert masked["metadata"] == {"by": {"mail": ["[EMAIL]", 3]}, "id": 7}
    assert masked["images"] == row["images"] and masked["instruction"] == row["instruction"]
    assert masked["id"] == content_id(masked) != row["id"]
    assert masked["lineage"] == row["lineage"] | {"parent": row["id"]}
    assert schema("record").is_valid(masked)
    assert rule.mask(masked) is masked
    clean = record()
    assert rule.mask(clean) is clean


def test_a_chain_whose_answers_would_fail_their_checks_is_rejected():
    steps = [
        {"instruction": "Whom do I ask?", "output": "ann@lee.org"},
        {
            "instruction": "How many letters has the address?",
            "output": "9",
            "check": {"kind": "count", "unit": "letters", "of": "previous"},
        },
    ]
    row = record("ann@lee.org\n9", steps=steps)
    rejection = parse_rule("pii:action=mask").check(row)
    assert rejection.reason == "mask-breaks-check" and "steps[1]" in rejection.message
    wrong = record("ann@lee.org\n8", steps=[steps[0], steps[1] | {"output": "8"}])
    assert parse_rule("pii:action=mask").check(wrong) is None  # failing-check says so, not masking
    steps[1] = {"instruction": "Thank her.", "output": "Thanks!"}
    row = record("ann@lee.org\nThanks!", steps=steps)
    rule = parse_rule("pii:action=mask")
    assert rule.check(row) is None
    assert rule.mask(row)["steps"][0]["output"] == "[EMAIL]"


def test_masked_rows_are_counted_and_deduplicated_as_they_are_written():
    rows = [
        record("Fine.", "Ask ann@lee.org."),
        record("Fine.", "Ask bob@lee.org."),
        record("Fine.", "Ask nobody."),
        record("", "Ask eve@lee.org now."),
    ]
    rules = [parse_rule(text) for text in ("exact-duplicate", "pii:action=mask", "empty-output")]
    stats = RunStats("filter")
    kept = list(apply((Row(row, "f", 1, b"raw") for row in rows), rules, stats))
    assert [row.value["instruction"] for row in kept] == ["Ask [EMAIL].", "Ask nobody."]
    assert [row.raw for row in kept] == [None, b"raw"]
    assert stats.results["rules"] == {
        "pii:action=mask": {"seen": 4, "removed": 0, "masked": 1},
        "empty-output": {"seen": 4, "removed": 1},
        "exact-duplicate": {"seen": 3, "removed": 1},
    }


def test_two_masking_rules_are_applied_in_order():
    text = f"ann@lee.org has ghp_{KEY}"
    rules = [parse_rule("pii:action=mask"), parse_rule("secrets:action=mask")]
    (row,) = apply([Row(record(text))], rules, RunStats("filter"))
    assert row.value["output"] == "[EMAIL] has [GITHUB]"


def test_workers_mask_the_same(seqit, tmp_path):
    filler = "Some words about nothing. " * 40
    rows = [record(f"{filler} {n} a{n}@lee.org" if n % 5 else f"{filler} {n}") for n in range(3000)]
    rows[7] |= {"instruction": "Raw", "source": None}  # normalized as well
    rows[7].pop("id")
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    rules = ("-r", "pii:action=mask", "-r", "exact-duplicate:fields=output")
    runs = []
    for workers in (1, 3):
        names = [tmp_path / f"{kind}{workers}" for kind in ("rejects", "manifest")]
        command = ("filter", *rules, "--workers", workers, "--rejects", names[0])
        ran = seqit(*command, "--manifest", names[1], file)
        runs.append((ran, *(name.read_bytes() for name in names)))
    assert runs[0] == runs[1]
    ran, _, manifest = runs[0]
    assert b"@lee.org" not in ran.out and ran.out.count(b"[EMAIL]") == 2400
    counts = json.loads(manifest)["counts"]["rules"]["pii:action=mask"]
    assert (counts["removed"], counts["masked"]) == (0, 2400)
    assert seqit("validate", stdin=ran.out).code == 0


def test_real_answers_have_few_findings(data):
    answers = json.loads((data / "alpacaeval/gpt4_1106_preview/model_outputs.json").read_bytes())
    rejections = [parse_rule("pii").check(record(each["output"])) for each in answers]
    assert 0 < len([each for each in rejections if each]) < 10
    assert not any(parse_rule("secrets").check(record(each["output"])) for each in answers)


def test_unknown_kinds_and_actions():
    with pytest.raises(UsageError, match="kinds must be one or more of email"):
        parse_rule("pii:kinds=names")
    with pytest.raises(UsageError, match="action must be one of drop, mask"):
        parse_rule("secrets:action=hide")
