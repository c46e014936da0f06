import base64
import hashlib
import json
from html.parser import HTMLParser

import pytest

from src.pages.pages import policy_hash, script_json

EVIL = "</script><!--<script>alert('&')\u2028\u2029 \ud800 ä"


class Scripts(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def test_json_in_a_script_ends_no_script_and_reads_the_same():
    data = {EVIL: [EVIL, 0.1, None, True]}
    text = script_json(data)
    page = Scripts(f'<script type="application/json">{text}</script><p>after</p>')
    assert page.tags == ["script", "p"]
    assert json.loads(page.texts[0]) == data
    assert text.isascii()
    assert not set("<>&") & set(text)


def test_a_number_that_is_none_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json([float("nan")])


def test_a_policy_names_a_script_by_its_bytes():
    digest = base64.b64encode(hashlib.sha256("ä();".encode()).digest()).decode()
    assert policy_hash("ä();") == f"'sha256-{digest}'"
