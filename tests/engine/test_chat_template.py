"""Chat templates: as transformers renders them, and none takes more than a bounded amount of work."""

from __future__ import annotations

import time
from typing import Any

import pytest
from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer

from tests.helpers.checkpoints import TINY
from ziprerank_integrations.engine import chat_template
from ziprerank_integrations.engine.chat_template import MAX_CHARS, render
from ziprerank_integrations.engine.tokenizer import TextEncoder
from ziprerank_integrations.errors import CheckpointError

MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "text", "text": "words & <b>"}, *[{"type": "image"}] * 20]}
]
# As the templates of published Qwen models, with what else templates of other models use.
PUBLISHED = r"""
{%- set image_count = namespace(value=0) %}
{%- macro write(content, counting) %}
    {%- if content is string %}{{- content }}
    {%- else %}
        {%- for item in content %}
            {%- if 'image' in item or item.type == 'image' %}
                {%- if counting %}{%- set image_count.value = image_count.value + 1 %}{%- endif %}
                {%- if add_vision_id %}Picture {{ image_count.value }}: {% endif -%}
                <|vision_start|><|image_pad|><|vision_end|>
            {%- elif 'text' in item %}{{- item.text }}{%- endif %}
        {%- endfor %}
    {%- endif %}
{%- endmacro %}
{%- if tools %}{{- '<|im_start|>system\n' }}{%- for tool in tools %}{{- tool | tojson }}{%- endfor %}
{%- else %}
    {%- if messages[0].role == 'system' %}{{- write(messages[0].content, 0) ~ '<|im_end|>\n' }}{%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" %}
        {%- set content = write(message.content, false)|trim %}
        {%- if not(content.startswith('<tool_response>') and content.endswith('</tool_response>')) %}
            {%- set ns.multi_step_tool = false %}{%- set ns.last = index %}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if loop.index0 > 5 %}{% break %}{% endif %}
    {{- '<|im_start|>' + message.role + '\n' + write(message.content, true) + '<|im_end|>\n' }}
    {%- generation %}{{ message.content | tojson(indent=2) }}{% endgeneration %}
    {{- message.items() | list | length }}{{ message | dictsort | map('first') | join(', ') }}
    {{- message.role.split('s')[0].upper().replace('U', 'V') }} {{ '%d' if 7 % 2 else 2 * 3 }} {{ 2 ** 3 }}
    {{- message.content | selectattr('type', 'equalto', 'image') | list | length }} {{ 'ab' * 3 }}
    {{- message.missing is defined }} {{ range(3) | list }} {{ [1, 'a', none, true] }} {{ {'a': [1]} }}
    {%- set block %}set {{ message.role | title }}{% endset %}{{ block }}
    {%- filter upper %}filtered{% endfilter %}
    {%- call(x) each([3, 1, 2]) %}<{{ x }}>{% endcall %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""
EACH = "{%- macro each(items) %}{% for item in items | sort %}{{ caller(item) }}{% endfor %}{%- endmacro %}"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(TINY)


@pytest.mark.parametrize("template", [EACH + PUBLISHED, (TINY / "chat_template.jinja").read_text()])
def test_templates_are_rendered_as_transformers_does(tokenizer: Any, template: str) -> None:
    expected = tokenizer.apply_chat_template(
        MESSAGES, chat_template=template, tokenize=False, add_generation_prompt=True
    )
    assert render(template, MESSAGES, add_generation_prompt=True) == expected


def test_a_published_template_takes_a_small_part_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "_UNITS", chat_template._UNITS // 10)
    render(EACH + PUBLISHED, MESSAGES, add_generation_prompt=True)


COPIES = (
    "{% set n = namespace(l=[1], m=[1]) %}"
    "{% for a in range(60) %}{% set n.l = [n.l, n.l] %}{% set n.m = [n.m, n.m] %}{% endfor %}"
)
SET = "{% set n = namespace(s='ab', i=9) %}"
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}"
ENDLESS = {
    "nested loops": LOOPS + "{% endfor %}{% endfor %}",
    "output": "{% for a in range(90000) %}" + "x" * 9000 + "{% endfor %}",
    "long body": "{% for a in range(90000) %}{% if 0 %}" + "{{ a.b.c }}" * 5000 + "{% endif %}{% endfor %}",
    "range": "{% for a in range(10 ** 15) %}{% endfor %}",
    "list of a range": "{{ range(10000000000) | list | length }}",
    "doubling": SET + "{% for a in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "concatenation": SET + "{% for a in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "captured": SET
    + "{% for a in range(60) %}{% set s %}{{ n.s }}{{ n.s }}{% endset %}{% set n.s = s %}{% endfor %}",
    "multiplication": "{{ ('a' * 9999999) * 9999999 }}",
    "multiplied list": "{{ ([1] * 99999 * 99999) | length }}",
    "power": "{{ 10 ** 10 ** 10 }}",
    "power of a power": "{{ ((63 ** 63) ** 63) ** 63 }}",
    "large integers": SET + "{% for a in range(99) %}{% set n.i = n.i * n.i %}{% endfor %}",
    "printf": "{{ '%9999999999d' % 1 }}",
    "format": "{{ '{:9999999999}'.format(1) }}",
    "format filter": "{{ '%9999999999d' | format(1) }}",
    "center": "{{ 'a' | center(9999999999) }}",
    "ljust": "{{ 'a'.ljust(9999999999) }}",
    "zfill": "{{ 'a'.zfill(9999999999) }}",
    "expandtabs": "{{ '\t'.expandtabs(9999999999) }}",
    "lipsum": "{{ lipsum(n=99999999) }}",
    "replace": "{{ ('a' * 99999).replace('a', 'b' * 99999) }}",
    "replace filter": "{{ ('a' * 99999) | replace('', 'b' * 99999) }}",
    "join": "{{ (['a'] * 99999) | join('b' * 99999) }}",
    "join method": "{{ ('b' * 99999).join(['a'] * 99999) }}",
    "joined copies": "{{ (['a' * 99999] * 99999) | join }}",
    "written copies": COPIES + "{{ n.l }}",
    "compared copies": COPIES + "{{ n.l == n.m }}",
    "copies in JSON": COPIES + "{{ n.l | tojson }}",
    "copies as text": COPIES + "{{ [n.l] | string }}",
    "indented JSON": "{{ [1, 2] | tojson(indent=9999999999) }}",
    "indented by a text": "{{ ([1] * 99999) | tojson(indent='a' * 99999) }}",
    "indent": "{{ ('\n' * 99999) | indent(99999) }}",
    "round": "{{ 1.5 | round(9999999999, 'ceil') }}",
    "recursion": "{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "branching": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "recursive loop": "{% for a in [[1, 2], [3, 4]] recursive %}{{ loop([[1, 2], [3, 4]]) }}{% endfor %}",
    "map": "{{ range(99999) | map('string') | map('replace', '', 'a' * 99999) | list | length }}",
    "sum": "{{ ([[1] * 9999] * 9999) | sum(start=[]) | length }}",
    "forged weight": "{% for a in (range(99999) | __each(-99999999)) %}{% endfor %}",
    "dictionary": "{% for a in dict(a=1) %}{% endfor %}{{ dict.fromkeys(range(99999999)) | length }}",
    "cycler": "{{ cycler(*range(99999999)) }}",
    "class": "{% set n = namespace() %}{% set n.__class__ = 5 %}",
    "attributes": "{{ ''.__class__.__mro__ }}",
    "include": "{% include '/etc/passwd' %}",
    "parentheses": "{{ " + "(" * 30_000 + "1" + ")" * 30_000 + " }}",
    "attribute chain": "{{ a" + ".b" * 30_000 + " }}",
    "length": "x" * (MAX_CHARS + 1),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_template_without_end_is_refused(name: str) -> None:
    started = time.process_time()
    with pytest.raises((TemplateError, ValueError, TypeError, RecursionError, MemoryError)):
        render(ENDLESS[name], MESSAGES)
    assert time.process_time() - started < 10


def test_an_endless_template_is_a_checkpoint_error(tokenizer: Any) -> None:
    other = AutoTokenizer.from_pretrained(TINY)
    other.chat_template = ENDLESS["nested loops"]
    encoder = TextEncoder(other, other.convert_tokens_to_ids("<|image_pad|>"))
    with pytest.raises(CheckpointError, match="chat template cannot be used: it takes more work"):
        encoder._template(3)
