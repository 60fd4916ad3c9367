"""The page as a browser would read it: structure, escaping, policy, and what is said of each kind of run."""

import copy
import hashlib
import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from oracle.findings import SCHEMA
from reports.html import render, to_html
from tests.reports.documents import backward, call, document, leaf, program, several, sine

VOID = {"meta", "br", "img", "link", "input"}
PAGES = {
    "none": document(),
    "one": document(sine()),
    "five": document(*several()),
    "nothing": document(programs=0, statements=0, ops={}, seconds=0.4, discarded={"timeout": 3}),
}


class Page(HTMLParser):
    """Elements with their attributes, text by element, and whether the tags are balanced."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((tuple(self.open), data))

    def text(self, *within):
        """What stands inside elements of these names; everything that is read, when none is given."""
        wanted = [
            t for names, t in self.texts if (set(within) & set(names) if within else "style" not in names)
        ]
        return " ".join("".join(wanted).split())

    def attributes(self, name):
        return [given[name] for _, given in self.elements if name in given]


@pytest.fixture(params=PAGES)
def page(request):
    return Page(to_html(PAGES[request.param]))


# Structure


def test_the_page_is_one_document_with_one_heading_and_unbroken_levels(page):
    tags = [tag for tag, _ in page.elements]
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert tags[0] == "html"
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in zip(levels, levels[1:], strict=False))
    assert tags.count("main") == 1
    assert dict(page.elements[0][1])["lang"] == "en"


def test_ids_are_unique_and_every_reference_to_one_resolves(page):
    ids = Counter(page.attributes("id"))
    assert ids.most_common(1)[0][1] == 1
    references = page.attributes("data-copy") + [href[1:] for href in page.attributes("href")]
    references += [name for value in page.attributes("aria-labelledby") for name in value.split()]
    assert references
    assert set(references) <= set(ids)


def test_nothing_is_fetched(page):
    tags = {tag for tag, _ in page.elements}
    assert not tags & {
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "audio",
        "video",
        "image",
        "use",
    }
    for name in ("src", "srcset", "action", "data", "poster", "xlink:href", "style", "ping"):
        assert page.attributes(name) == []
    assert all(href.startswith("#") for href in page.attributes("href"))
    assert "url(" not in page.text("style")
    assert "@import" not in page.text("style")


def test_the_policy_allows_this_style_and_this_script_and_nothing_else(page):
    (policy,) = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    for name in ("style", "script"):
        (source,) = ["".join(data for names, data in page.texts if names[-1:] == (name,))]
        digest = b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert source
        assert rules.pop(f"{name}-src") == f"'sha256-{digest}'"
    assert rules == {}
    tags = [tag for tag, _ in page.elements]
    assert tags.index("meta") < tags.index("style")


def test_buttons_stay_hidden_until_a_script_can_serve_them(page):
    buttons = [given for tag, given in page.elements if tag == "button"]
    assert buttons
    assert all("hidden" in given and given["type"] == "button" for given in buttons)


def test_what_scrolls_can_be_reached_by_keyboard(page):
    boxes = [given for tag, given in page.elements if tag == "pre" or given.get("role") == "group"]
    assert boxes
    assert all(given["tabindex"] == "0" for given in boxes)


# What is said


def test_a_run_without_findings_proves_that_work_was_done():
    page = Page(to_html(document(ops={"sin": 1207, "mul": 31, "roll": 0})))
    text = page.text()
    assert (
        page.text("h1")
        == "No discrepancy in 2,000 programs: refgrad 0.1.0 against torch 2.13.0, seed 0, 12.3 s"
    )
    for said in (
        "Engines agree",
        "Programs 2,000 162 a second",
        "Statements 13,402",
        "Escalated 57",
        "Discarded 17",
        "ill-conditioned 14",
        "beyond float16 3",
        "2 ops drawn 1,238 times: most often sin (1,207), least often mul (31)",
        "Untested , never drawn in this run (1): roll",
        "hypothesis 6.170.0, python 3.11.7",
        "refgrad fuzz --seed 0 --examples 2000",
        "Ops covered 2 of 3",
    ):
        assert said.replace(" ", "") in text.replace(" ", ""), said


@pytest.mark.parametrize("summary", [{"programs": 0, "statements": 0}, {"statements": 0}])
def test_a_run_of_nothing_says_so_loudly(summary):
    page = Page(to_html(document(ops={}, **summary)))
    assert page.text("h1").startswith("Nothing was tested")
    assert "Failure: nothing was tested" in page.text()
    assert "proves nothing" in page.text()
    assert "agree" not in page.text("header")
    assert "alert" in page.attributes("role")


@pytest.mark.parametrize(
    ("summary", "command"),
    [
        ({}, "refgrad fuzz --seed 0 --examples 2000"),
        ({"examples": None, "programs": 731}, "refgrad fuzz --seed 0 --examples 731"),
        ({"ops": {"cos": 3, "sin": 0}}, "refgrad fuzz --seed 0 --examples 2000 --ops cos,sin"),
        ({"ops": {"nobody's op": 3}}, "refgrad fuzz --seed 0 --examples 2000"),
        (
            {"profile": "smoke", "subject": "torch", "seed": 7, "plant": "a b"},
            "refgrad fuzz --seed 7 --examples 2000 --profile smoke --subject torch --plant 'a b'",
        ),
    ],
)
def test_the_run_can_be_repeated(summary, command):
    source = to_html(document(**summary))
    assert re.findall('<code id="command">(.*?)</code>', source) == [command.replace("'", "&#39;")]


def test_an_interrupted_run_says_so():
    assert Page(to_html(document(interrupted=True))).text("h1").endswith("12.3 s, interrupted")
    assert "interrupted" not in Page(to_html(document(interrupted=False))).text()


def test_a_finding_that_the_page_does_not_list_is_still_counted():
    page = Page(to_html(document(sine(), findings=7)))
    assert page.text("h1").startswith("7 discrepancies in 2,000 programs")
    assert "1 on this page" in page.text()
    assert "Engines differ" in Page(to_html(document(findings=1))).text()


def test_a_finding_is_shown_with_all_that_is_known_of_it():
    finding = sine()
    page = Page(to_html(document(finding)))
    text = page.text()
    assert page.text("h1").startswith("1 discrepancy in 2,000 programs: ")
    for said in (
        "sin gradient",
        finding["message"],
        "refgrad 0.1.0",
        finding["subject"]["text"].replace("  ", " "),
        "torch 2.13.0",
        "-0.8775825618903728 0.8775825618903728 1.76 9.01e+15 1.10e-15",
        "by at most 2.5 at [0, 2]",
        "shrunk from 9 to 2 statements",
        "backward(roots=[t1], gradients=[float64[1, 3](1.0, 2.0, 3.0)])",
        f"refgrad replay findings/{finding['id']}.json",
        "seed 0, shard 3, program 117",
        "41 programs with the same signature",
        finding["signature"],
        "sin-sign",
        "t0.grad differs",
    ):
        assert said.replace(" ", "") in text.replace(" ", ""), said
    assert (-0.8775825618903728).hex() in page.attributes("title")
    assert f"finding-{finding['id']}" in page.attributes("id")


@pytest.mark.parametrize("what", ["repro", "raw"])
def test_what_is_copied_is_exact(what):
    finding = sine()
    source = to_html(document(finding))
    parts, identity = [], f"finding-{finding['id']}-{what}"

    class Copied(HTMLParser):
        inside = False

        def handle_starttag(self, tag, attributes):
            self.inside = self.inside or dict(attributes).get("id") == identity

        def handle_endtag(self, tag):
            self.inside = self.inside and tag != "code"

        def handle_data(self, data):
            if self.inside:
                parts.append(data)

    Copied().feed(source)
    if what == "raw":
        assert json.loads("".join(parts)) == finding
    else:
        assert "".join(parts) == finding["repro"]


def test_the_findings_of_many_are_listed_first_with_links():
    findings = several()
    page = Page(to_html(document(*findings)))
    links = [href for href in page.attributes("href") if href.startswith("#finding-")]
    assert links == [f"#finding-{finding['id']}" for finding in findings]
    assert page.text().count("1 found") == len(findings)


def test_long_tables_are_cut_and_say_so():
    finding = sine()
    finding["elements"] = finding["elements"] * 40
    assert "70 more in the raw JSON" in Page(to_html(document(finding))).text()


# Hostile text

ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</svg></pre></code></title></style></script><iframe src=javascript:alert(1)>",
    "<!-- ]]> <![CDATA[ {{ 7 * 7 }} {% raw %} &lt;b&gt; &#60;b>",
    "\x00\x07\x1b[31m\u202eeslaf\u2066 \ud800 \ufffe \u200b",
]


def infected(value, attack, inside_statement=False):
    """The value with every string in it replaced, and names that are keys; statements keep their kinds."""
    if isinstance(value, str):
        return attack
    if isinstance(value, list):
        return [infected(item, attack, inside_statement) for item in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, item in value.items():
        if key in ("discarded", "ops", "versions", "params"):
            made[key] = {f"{attack}{name}": infected(inner, attack) for name, inner in item.items()}
        elif key == "kind" and inside_statement:
            made[key] = item
        else:
            made[key] = infected(item, attack, key == "statements")
    return made


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_text_in_every_field_is_only_text(attack):
    safe, source = to_html(PAGES["five"]), to_html(infected(PAGES["five"], attack))
    allowed, page = Page(safe), Page(source)
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in allowed.elements}
    for tag in ("script", "style", "article", "button", "pre", "svg"):
        assert sum(name == tag for name, _ in page.elements) == sum(
            name == tag for name, _ in allowed.elements
        )
    known = {(tag, name) for tag, given in allowed.elements for name in given}
    assert {(tag, name) for tag, given in page.elements for name in given} <= known
    assert page.text("script") == allowed.text("script")
    assert all(href.startswith("#") for href in page.attributes("href"))
    assert all(re.fullmatch(r"[\w-]+", name) for name in page.attributes("id"))
    for drawing in re.findall("<svg.*?</svg>", source, re.DOTALL):
        ElementTree.fromstring(drawing)
    source.encode()


def test_unseen_characters_are_written_as_escapes():
    finding = sine()
    finding["message"] = "a\x00b\u202ec\ud800d\u00e9\u4e2d"
    text = Page(to_html(document(finding))).text()
    assert "a\\u0000b\\u202ec\\ud800d\u00e9\u4e2d" in text


def test_drawings_are_well_formed(page):
    sources = [to_html(given) for given in PAGES.values()]
    drawings = [drawing for source in sources for drawing in re.findall("<svg.*?</svg>", source, re.DOTALL)]
    roots = [ElementTree.fromstring(drawing) for drawing in drawings]
    assert sum(root.get("role") == "img" for root in roots) == 1 + len(PAGES["five"]["findings"])


# The file


def test_rendering_writes_one_page_and_leaves_the_document_alone(tmp_path):
    given = copy.deepcopy(PAGES["five"])
    paths = render(given, tmp_path / "a" / "b")
    assert paths == [tmp_path / "a" / "b" / "index.html"]
    assert [path.name for path in paths[0].parent.iterdir()] == ["index.html"]
    assert paths[0].read_text(encoding="utf-8") == to_html(PAGES["five"])
    assert given == PAGES["five"]


def test_the_same_document_gives_the_same_page_in_any_process():
    script = (
        "import json, sys; from reports.html import to_html; page = to_html(json.load(sys.stdin));"
        "assert 'torch' not in sys.modules; sys.stdout.buffer.write(page.encode())"
    )
    pages = {
        subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps(PAGES["five"]).encode(),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert pages == {to_html(PAGES["five"]).encode()}


def test_a_failed_write_leaves_the_old_page_and_nothing_else(tmp_path, monkeypatch):
    (page,) = render(PAGES["none"], tmp_path)
    before = page.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(
        OSError, match=r"cannot write the report into .*: No space left on device; name another"
    ):
        render(PAGES["one"], tmp_path)
    assert page.read_bytes() == before
    assert list(tmp_path.iterdir()) == [page]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(
        OSError, match="cannot write the report into .*taken.*: .*; name another folder"
    ) as caught:
        render(PAGES["none"], taken)
    assert "\n" not in str(caught.value)
    assert taken.read_text() == ""


# Documents that are not


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ([], "'list': expected 2"),
        ({}, "None: expected 2"),
        ({**document(), "schema": 3}, "3: expected 2"),
        ({"schema": SCHEMA, "summary": {}, "findings": []}, "findings"),
        ({"schema": SCHEMA, "summary": document()["summary"]}, "findings"),
        ({**document(), "findings": {"a": 1}}, "not one of schema 2"),
        (document({"id": "0"}), "KeyError"),
        (document({**sine(), "origin": {}}), "seed"),
        (document({**sine(), "program": program([], call("sin", 3))}), "tensor 3"),
        (
            document({**sine(), "program": program([leaf([], [1.0])], backward(1))}),
            "statement 0 uses tensor 1",
        ),
    ],
)
def test_a_broken_document_is_refused_in_one_line_before_anything_is_written(broken, named, tmp_path):
    with pytest.raises(ValueError, match=named) as caught:
        render(broken, tmp_path / "report")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "report").exists()
