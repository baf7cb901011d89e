"""Models answer items, and judges and programs measure the answers: respond, judge, score."""
