"""README, CONTRIBUTING and docs/ against the code: options, links, names, snippets."""

import contextlib
import functools
import io
import re
import shlex
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from support.paths import ROOT

from convnext_backbone import checkpoints
from convnext_backbone.cli import COMMANDS, PROGRAM, run_command
from convnext_backbone.config.names import find_config

README = ROOT / 'README.md'
DOCS = sorted((ROOT / 'docs').glob('*.md'))
PAGES = [README, ROOT / 'CONTRIBUTING.md', *DOCS]
README_LINES = 220
OF_EVERY_COMMAND = {'--help', '--debug'}
FLAG = re.compile(r'(?<![\w-])--[a-z][\w-]*')
FENCED = re.compile(r'^```(\w*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def text_of(page: Path) -> str:
    return page.read_text(encoding='utf-8')


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in FENCED.findall(text_of(page)) if kind == language]


@functools.cache
def flags_of(command: str) -> set[str]:
    """The options that ``convnext-backbone COMMAND --help`` lists."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as end:
        run_command(command, ['--help'])
    assert end.value.code == 0
    listed = re.findall(r'^ {2}(?:-\w, )?(--[a-z][\w-]*)', out.getvalue(), re.MULTILINE)
    assert set(listed) >= OF_EVERY_COMMAND, out.getvalue()
    return set(listed)


def anchors_of(page: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r'^#+ (.+)$', FENCED.sub('', text_of(page)), re.MULTILINE)
    return {
        re.sub(r'[^\w -]', '', h).strip().lower().replace(' ', '-') for h in headings
    }


def ids(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def test_the_readme_is_short():
    lines = text_of(README).count('\n')
    assert lines <= README_LINES, f'README.md has {lines} lines: move a part to docs/'


def test_the_reference_has_a_section_for_each_command():
    sections = re.findall(r'^## (\S+)$', text_of(ROOT / 'docs/reference.md'), re.M)
    assert set(COMMANDS) <= set(sections)


@pytest.mark.parametrize('command', COMMANDS)
def test_the_reference_lists_the_options_of(command):
    text = text_of(ROOT / 'docs/reference.md')
    section = text.split(f'\n## {command}\n')[1].split('\n## ')[0]
    table = re.findall(r'^\| `(--[a-z][\w-]*)', section, re.MULTILINE)
    assert set(table) == flags_of(command) - OF_EVERY_COMMAND
    assert len(table) == len(set(table))


@pytest.mark.parametrize('page', PAGES, ids=ids(PAGES))
def test_links_lead_somewhere(page):
    text = FENCED.sub('', text_of(page))
    targets = re.findall(r'\]\(([^)\s]+)\)', text) + re.findall(r'src="([^"]+)"', text)
    local = [t for t in targets if not re.match(r'https?://', t)]
    broken = []
    for target in local:
        path, _, fragment = target.partition('#')
        file = (page.parent / path).resolve() if path else page
        found = file.exists() and (not fragment or fragment in anchors_of(file))
        broken += [] if found else [target]
    assert not broken


def test_every_page_is_in_the_index_and_in_the_readme():
    index, readme = text_of(ROOT / 'docs/README.md'), text_of(README)
    for page in DOCS:
        if page.name != 'README.md':
            assert f']({page.name})' in index
            assert f'](docs/{page.name})' in readme


@pytest.mark.parametrize('page', PAGES, ids=ids(PAGES))
def test_named_configs_exist(page):
    text = FENCED.sub(lambda m: '' if m[1] == 'python' else m[0], text_of(page))
    named = re.findall(r'(?<![\w./:])((?:det|seg)/[a-z]\w+)', text)
    assert not [name for name in named if find_config(name) is None]


@pytest.mark.parametrize('page', PAGES, ids=ids(PAGES))
def test_commands_and_their_options_exist(page):
    text = text_of(page).replace('\\\n', ' ')
    inline = re.findall(rf'`{PROGRAM} ([^`]+)`', FENCED.sub('', text))
    fenced = [
        line.split(PROGRAM, 1)[1]
        for kind, code in FENCED.findall(text)
        for line in code.splitlines()
        if kind == 'bash' and PROGRAM in line
    ]
    for line in inline + fenced:
        command, *words = shlex.split(line, comments=True)
        if command in ('COMMAND', '--help', '--version'):
            continue
        assert command in COMMANDS, line
        used = {word for word in words if FLAG.fullmatch(word)}
        assert used <= flags_of(command), line


def test_the_readme_s_python_runs(monkeypatch, capsys):
    (code,) = [code for code in blocks(README, 'python') if 'import torch' in code]
    asked = []
    monkeypatch.setattr(checkpoints, 'load', lambda model, source: asked.append(source))
    exec(code, {})
    assert asked == ['timm://convnext_tiny.fb_in22k']
    lines = capsys.readouterr().out.splitlines()
    shapes = [(96, 128), (192, 64), (384, 32), (768, 16)]
    assert lines[1:] == [str((1, width, side, side)) for width, side in shapes]


def test_the_page_of_the_backbone_has_python_that_runs():
    code = blocks(ROOT / 'docs/backbone.md', 'python')[0]
    assert 'assert model.out_channels == ' in code
    exec(code, {})


@pytest.mark.parametrize(
    ('page', 'base', 'kind', 'low', 'scheduler'),
    [
        (README, 'mmdet', 'FasterRCNN', 0.95**7, 'MultiStepLR'),
        (ROOT / 'docs/backbone.md', 'mmseg', 'EncoderDecoder', 0.9**7, 'PolyLR'),
    ],
    ids=['mmdet', 'mmseg'],
)
def test_a_stock_config_becomes_a_convnext(page, base, kind, low, scheduler, tmp_path):
    """The model and the optimizer that the snippet leads to, without data."""
    package = pytest.importorskip(base)
    (code,) = [code for code in blocks(page, 'python') if code.startswith('_base_')]
    stock = Path(package.__file__).parent / '.mim' / 'configs'
    code = code.replace("_base_ = '../", f"_base_ = '{stock}/")
    file = tmp_path / 'config.py'
    file.write_text(code)
    cfg = Config.fromfile(file)
    init_default_scope(base)
    model = MODELS.build(cfg.model)
    assert type(model).__name__ == kind
    assert model.backbone.out_channels == (96, 192, 384, 768)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    assert type(optimizer).__name__ == 'AdamW'
    rates = [group['lr'] for group in optimizer.param_groups]
    assert min(rates) == pytest.approx(1e-4 * low)
    assert max(rates) == pytest.approx(1e-4)
    last = cfg.param_scheduler[-1]
    assert last['type'] == scheduler
    assert last.get('eta_min', 0) == 0
