"""The report as a browser shows it: offline, on a phone and on a desk."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import DET, SEG
from support.work_dirs import make_work_dir

from convnext_backbone.demo_scenes import make_demo_data
from convnext_backbone.tasks.report import write_report

sync_api = pytest.importorskip(
    'playwright.sync_api', reason='playwright is not installed'
)
NAMES = ('chromium', 'chromium-browser', 'google-chrome')


@pytest.fixture(scope='module')
def browser() -> Iterator:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f'no browser: none of {", ".join(NAMES)} is installed')
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=['--no-sandbox']
        )
        yield browser
        browser.close()


@pytest.fixture(scope='module')
def reports(tmp_path_factory) -> dict[str, Path]:
    """A report of each task, moved away from its data and its work dir."""
    root = tmp_path_factory.mktemp('reports')
    make_demo_data(root / 'data', train=2, val=4, size=128)
    for name, config in (('det', DET), ('seg', SEG)):
        path = write_report(make_work_dir(root / 'work', root / 'data', config))
        path.rename(root / f'{name}.html')
        shutil.rmtree(root / 'work')
    shutil.rmtree(root / 'data')
    return {name: root / f'{name}.html' for name in ('det', 'seg')}


@pytest.mark.slow
@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [390, 1400])
@pytest.mark.parametrize('name', ['det', 'seg'])
def test_the_page_opens_whole_and_fits(browser, reports, name, width, scheme):
    context = browser.new_context(
        viewport={'width': width, 'height': 900}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    problems, requests = [], []
    page.on('console', lambda message: problems.append(message.text))
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on('requestfailed', lambda request: problems.append(request.url))
    page.on('request', lambda request: requests.append(request.url))
    page.goto(reports[name].as_uri())
    page.wait_for_load_state('load')
    assert problems == []
    assert [url for url in requests if not url.startswith('data:')] == [
        reports[name].as_uri()
    ]
    sections = page.locator('section')
    assert sections.count() == (10 if name == 'det' else 9)
    for section in sections.all():
        assert section.is_visible()
        box = section.bounding_box()
        assert box['width'] > 0.8 * min(width, 1240)
        assert box['height'] > 50
    scroll, client = page.evaluate(
        '[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]'
    )
    assert scroll <= client
    widths = page.evaluate(
        'Promise.all([...document.images].map(i => i.decode().then(() => '
        'i.naturalWidth)))'
    )
    assert len(widths) == 8  # ground truth and prediction of four images
    assert all(0 < w <= 560 for w in widths)
    for chart in page.locator('svg.chart').all():
        assert chart.bounding_box()['width'] <= client
        assert chart.bounding_box()['height'] > 150
    context.close()
