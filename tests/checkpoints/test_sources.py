"""From what a user writes to a local file, against a server that misbehaves."""

import hashlib
import io
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import safetensors.torch
from filelock import FileLock
from huggingface_hub import constants
from mmengine.logging import MMLogger
from support.checkpoint_files import ARCH, classifier
from support.file_server import FileServer
from timm.models import get_pretrained_cfg, list_pretrained

from convnext_backbone import checkpoints
from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints import download as downloads
from convnext_backbone.checkpoints import hub, published
from convnext_backbone.checkpoints.converting import rename
from convnext_backbone.checkpoints.download import cache_dir, cached_path, download
from convnext_backbone.checkpoints.errors import CheckpointError
from convnext_backbone.checkpoints.families import parse
from convnext_backbone.checkpoints.sources import discard, fetch
from convnext_backbone.foundation.errors import UserError

DATA = bytes(range(256)) * 1000
SHA = hashlib.sha256(DATA).hexdigest()
OTHER = 'ab' * 32


@pytest.fixture
def server():
    with FileServer({'/d/f.pth': DATA}) as server:
        yield server


@pytest.fixture(autouse=True)
def own_caches(tmp_path, monkeypatch, server):
    """Every cache in the test's folder, and the test's server for the Hub."""
    monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / 'home'))
    monkeypatch.setenv('NO_PROXY', '*')
    monkeypatch.setattr(downloads, 'WAITS', (0, 0, 0, 0))
    hub._fetch_if_possible.cache_clear()
    template = '/{repo_id}/resolve/{revision}/{filename}'
    for name, value in (
        ('ENDPOINT', server.url),
        ('HUGGINGFACE_CO_URL_TEMPLATE', server.url + template),
        ('HF_HUB_CACHE', str(tmp_path / 'hub')),
        ('HF_TOKEN_PATH', str(tmp_path / 'token')),
        ('HF_HUB_DISABLE_TELEMETRY', True),
    ):
        monkeypatch.setattr(constants, name, value)


@pytest.fixture
def log(monkeypatch) -> list[str]:
    said = []
    monkeypatch.setattr(MMLogger, 'info', lambda self, text: said.append(text))
    return said


def left_over(folder: Path) -> set[str]:
    """The files that are in a folder, besides locks."""
    files = {str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file()}
    return {name for name in files if not name.endswith('.lock')}


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def test_a_file_is_downloaded_once_and_then_needs_no_server(server):
    url = f'{server.url}/d/f.pth'
    path = download(url)
    assert path == cache_dir() / server.host / 'd' / 'f.pth'
    assert path.read_bytes() == DATA
    assert left_over(path.parent) == {'f.pth'}
    assert download(url) == path
    assert len(server.requests) == 1


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    assert cache_dir() == tmp_path / 'home' / 'checkpoints'
    monkeypatch.delenv('CONVNEXT_HOME')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert cache_dir() == tmp_path / '.cache' / 'convnext_backbone' / 'checkpoints'


def test_a_broken_transfer_goes_on_where_it_broke(server, log):
    server.breaks = [100_000, 50_000]
    assert download(f'{server.url}/d/f.pth').read_bytes() == DATA
    ranges = [asked for _, _, asked in server.requests]
    assert ranges == [None, 'bytes=100000-', 'bytes=150000-']
    assert server.sent == len(DATA)
    assert 'ended after 100000 of 256000 bytes. Trying again' in log[1]


def test_tries_that_bring_nothing_end_and_the_next_call_goes_on(server):
    server.breaks = [100_000, 0, 0, 0, 0, 0]
    url = f'{server.url}/d/f.pth'
    with pytest.raises(ValueError, match='100000 of 256000 bytes') as error:
        download(url)
    assert '100000 bytes of it are kept' in str(error.value)
    assert len(server.requests) == 6 - 1  # the first brought something: try 1 of 5
    assert not cached_path(url).exists()
    folder = cached_path(url).parent
    assert left_over(folder) == {'f.pth.part', 'f.pth.part.json'}
    server.breaks = []
    assert download(url).read_bytes() == DATA
    assert server.sent == len(DATA)
    assert left_over(folder) == {'f.pth'}


def interrupt(server: FileServer, url: str) -> None:
    """Leave the first 100,000 bytes of a download behind."""
    server.breaks = [100_000, 0, 0, 0, 0]
    with pytest.raises(ValueError, match='are kept'):
        download(url)
    server.breaks = []
    server.requests.clear()
    server.sent = 0


@pytest.mark.parametrize('if_range', [True, False])
def test_a_file_changed_on_the_server_is_begun_anew(server, if_range):
    url = f'{server.url}/d/f.pth'
    interrupt(server, url)
    server.if_range = if_range
    server.files['/d/f.pth'] = DATA[::-1]
    assert download(url).read_bytes() == DATA[::-1]


def test_a_server_without_ranges_sends_all_of_it_again(server):
    url = f'{server.url}/d/f.pth'
    interrupt(server, url)
    server.ranges = False
    assert download(url).read_bytes() == DATA
    assert server.sent == len(DATA)


def test_a_part_longer_than_the_file_is_begun_anew(server):
    url = f'{server.url}/d/f.pth'
    interrupt(server, url)
    with open(f'{cached_path(url)}.part', 'ab') as part:
        part.write(bytes(len(DATA)))
    assert download(url).read_bytes() == DATA
    assert len(server.requests) == 2


@pytest.mark.parametrize('memo', [None, 'no json', '[]', '{"validator": null}'])
def test_a_part_of_unknown_origin_is_not_continued(server, memo):
    url = f'{server.url}/d/f.pth'
    interrupt(server, url)
    path = Path(f'{cached_path(url)}.part.json')
    path.write_text(memo) if memo else path.unlink()
    assert download(url).read_bytes() == DATA
    assert server.requests == [('GET', '/d/f.pth', None)]


def test_a_wrong_hash_is_refused_and_the_file_removed(server):
    url = f'{server.url}/d/f.pth'
    server.files['/d/f.pth'] = b'something else'
    with pytest.raises(CheckpointError, match=f'expected SHA-256 {SHA}.*removed'):
        download(url, SHA)
    assert left_over(cache_dir()) == set()
    server.files['/d/f.pth'] = DATA
    assert download(url, SHA).read_bytes() == DATA


def test_a_file_in_the_cache_is_held_against_the_hash_too(server):
    url = f'{server.url}/d/f.pth'
    path = download(url)
    assert download(url, SHA) == path
    path.write_bytes(b'damaged')
    with pytest.raises(CheckpointError, match=r'f.pth was removed'):
        download(url, SHA)
    assert download(url, SHA).read_bytes() == DATA


def test_a_hash_in_the_file_name_is_checked(server):
    good, bad = f'/f-{SHA[:8]}.pth', '/f-0123abcd.pth'
    date = '/f-20230101.pth'
    server.files |= dict.fromkeys((good, bad, date), DATA)
    for path in (good, date):
        assert download(server.url + path).read_bytes() == DATA
    with pytest.raises(CheckpointError, match='0123abcd'):
        download(server.url + bad)
    assert download(server.url + bad, SHA).read_bytes() == DATA


def test_urls_do_not_share_files(server, tmp_path):
    server.files |= {
        '/d/f.pth?v=1': b'1',
        '/d/f.pth?v=2': b'2',
        '/d/f.pth?v=a/b': b'3',
        '/e/f.pth': b'4',
        '/x?v=1.pth': b'5',
    }
    for path, data in server.files.items():
        local = download(server.url + path)
        assert local.read_bytes() == data
        assert local.suffix == '.pth'
    assert len(left_over(cache_dir())) == 6
    host = cache_dir() / 'h.org'
    assert cached_path('https://H.org/a//../b/f.pth') == host / 'a/b/f.pth'
    assert cached_path('http://h.org/f').parent == cache_dir() / 'h.org:80'
    signed = cached_path(f'https://h.org/f.pth?signature={"x" * 999}')
    assert signed.parent == host
    assert len(signed.name) < 200


@pytest.mark.parametrize('url', ['https://h.org/', 'https:///f', 'https://h:x/f'])
def test_a_url_without_a_file_is_a_value_error(url):
    with pytest.raises(ValueError, match=f'^{url} (names no file|is not a URL)'):
        download(url)


@pytest.mark.parametrize('status', [403, 404])
def test_a_refusal_is_one_message_after_one_request(server, status):
    server.errors['/no.pth'] = (status, '')
    url = f'{server.url}/no.pth'
    with pytest.raises(ValueError, match=f'HTTP {status}') as error:
        download(url)
    assert f'(curl -LO {url}) and put it at {cached_path(url)}' in str(error.value)
    assert len(server.requests) == 1
    cached_path(url).write_bytes(DATA)
    assert download(url).read_bytes() == DATA


def test_a_busy_server_is_asked_again(server, monkeypatch):
    server.errors['/d/f.pth'] = (503, '')
    monkeypatch.setattr(time, 'sleep', lambda _: server.errors.clear())
    assert download(f'{server.url}/d/f.pth').read_bytes() == DATA


def test_no_network_is_told_at_once(monkeypatch):
    monkeypatch.setattr(downloads, 'WAITS', (9, 9))
    begin = time.monotonic()
    with pytest.raises(ValueError, match='refused'):
        download(f'http://127.0.0.1:{closed_port()}/f.pth')

    def no_name(*_: object) -> None:
        raise socket.gaierror(-2, 'Name or service not known')

    monkeypatch.setattr(socket, 'getaddrinfo', no_name)
    with pytest.raises(ValueError, match='Name or service not known'):
        download('https://h.org/f.pth')
    assert time.monotonic() - begin < 2


def test_a_silent_server_is_given_up(server, monkeypatch):
    monkeypatch.setattr(downloads, 'TIMEOUT', 0.1)
    with socket.create_server(('127.0.0.1', 0)) as silent:
        url = f'http://127.0.0.1:{silent.getsockname()[1]}/f.pth'
        with pytest.raises(ValueError, match=r'no answer within 0\.1 s'):
            download(url)
    server.gate.clear()
    with pytest.raises(ValueError, match='timed out'):
        download(f'{server.url}/d/f.pth')


def test_a_full_disk_is_told_and_what_there_is_is_kept(server):
    url = f'{server.url}/d/f.pth'
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(UserError, match=f'{url} cannot be kept .*too large'):
            download(url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    kept = Path(f'{cached_path(url)}.part').stat().st_size
    assert kept > 100_000
    assert download(url).read_bytes() == DATA
    assert [asked for _, _, asked in server.requests] == [None, f'bytes={kept}-']


def test_progress_is_drawn_on_a_terminal_by_the_main_process(server, monkeypatch):
    server.files |= dict.fromkeys(('/1.pth', '/2.pth', '/3.pth'), DATA)
    stderr = io.StringIO()
    monkeypatch.setattr(sys, 'stderr', stderr)
    download(f'{server.url}/1.pth')
    monkeypatch.setattr(stderr, 'isatty', lambda: True, raising=False)
    download(f'{server.url}/2.pth')
    monkeypatch.setattr('mmengine.dist.is_main_process', lambda: False)
    download(f'{server.url}/3.pth')
    assert '2.pth: 100%' in stderr.getvalue()
    assert '1.pth' not in stderr.getvalue()
    assert '3.pth' not in stderr.getvalue()


@pytest.mark.slow
def test_two_processes_download_once(server, tmp_path):
    server.gate.clear()
    code = (
        'import sys\n'
        'from convnext_backbone.checkpoints.download import download\n'
        'print("ready", flush=True)\n'
        'print(download(sys.argv[1]))'
    )
    url = f'{server.url}/d/f.pth'
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', code, url], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == 'ready\n'
    time.sleep(0.3)
    server.gate.set()
    for process in processes:
        assert process.communicate(timeout=30)[0].endswith(f'{cached_path(url)}\n')
        assert process.returncode == 0
    assert len(server.requests) == 1


def test_waiting_for_another_process_is_told(server, monkeypatch, log):
    monkeypatch.setattr(downloads, 'PATIENCE', 0.1)
    target = cached_path(f'{server.url}/d/f.pth')
    target.parent.mkdir(parents=True)
    thread = threading.Thread(target=download, args=(f'{server.url}/d/f.pth',))
    with FileLock(f'{target}.lock'):
        thread.start()
        for _ in range(500):
            if log:
                break
            time.sleep(0.01)
        target.write_bytes(DATA)
    thread.join()
    assert log == [f'Waiting for another process that downloads {target}']
    assert not server.requests


def test_published_names_and_urls():
    base = 'https://dl.fbaipublicfiles.com/convnext/'
    assert len(published.FILES) == 64
    for name, path in {
        'convnext_tiny_1k_224': 'convnext_tiny_1k_224.pth',
        'convnext_large_1k_224_ema.pth': 'convnext_large_1k_224_ema.pth',
        'convnext_base_1k_384': 'convnext_base_1k_384.pth',
        'convnext_xlarge_22k_224': 'convnext_xlarge_22k_224.pth',
        'convnext_small_22k_1k_384': 'convnext_small_22k_1k_384.pth',
        'convnext_xlarge_22k_1k_384_ema': 'convnext_xlarge_22k_1k_384_ema.pth',
        'convnextv2_atto_1k_224_fcmae.pt': (
            'convnextv2/pt_only/convnextv2_atto_1k_224_fcmae.pt'
        ),
        'convnextv2_huge_1k_224_ema': 'convnextv2/im1k/convnextv2_huge_1k_224_ema.pt',
        'convnextv2_huge_22k_512_ema': (
            'convnextv2/im22k/convnextv2_huge_22k_512_ema.pt'
        ),
        'coco/mask_rcnn_convnext_tiny_1k_3x': (
            'coco/mask_rcnn_convnext_tiny_1k_3x.pth'
        ),
        'coco/cascade_mask_rcnn_convnext_xlarge_22k_3x': (
            'coco/cascade_mask_rcnn_convnext_xlarge_22k_3x.pth'
        ),
        'ade20k/upernet_convnext_small_1k_512x512': (
            'ade20k/upernet_convnext_small_1k_512x512.pth'
        ),
        'ade20k/upernet_convnext_base_22k_640x640.pth': (
            'ade20k/upernet_convnext_base_22k_640x640.pth'
        ),
    }.items():
        assert published.resolve(name) == base + path
    urls = {get_pretrained_cfg(name).url for name in list_pretrained('convnext*')}
    of_meta = {url for url in urls if url and url.startswith(base)}
    assert len(of_meta) > 40
    assert of_meta <= {published.resolve(name) for name in published.FILES}


def test_a_published_file_is_fetched_by_name(server, monkeypatch):
    monkeypatch.setattr(published, 'BASE', f'{server.url}/convnext/')
    server.files['/convnext/convnext_tiny_22k_224.pth'] = DATA
    path = fetch(f'meta://convnext_tiny_22k_224#sha256={SHA.upper()}')
    assert path.read_bytes() == DATA
    with pytest.raises(ValueError, match='mean coco/mask_rcnn_convnext_tiny_1k_3x'):
        fetch('meta://mask_rcnn_convnext_tiny_1k_3x')


def test_a_local_file_is_used_in_place_if_its_hash_fits(tmp_path, monkeypatch):
    file = tmp_path / 'f.pth'
    file.write_bytes(DATA)
    monkeypatch.setenv('HOME', str(tmp_path))
    assert fetch('~/f.pth') == fetch(str(file), SHA) == file
    assert fetch(f'{file}#sha256={OTHER}', sha256=SHA) == file
    with pytest.raises(CheckpointError, match=f'expected SHA-256 {OTHER}, got {SHA}$'):
        fetch(f'{file}#sha256={OTHER}')
    assert file.exists()
    with pytest.raises(ValueError, match="sha256 is 'abc', expected 64 hex digits"):
        fetch(f'{file}#sha256=abc')
    with pytest.raises(ValueError, match="sha256 is '', expected 64 hex digits"):
        fetch(str(file), sha256='')


def test_a_hugging_face_folder_means_its_weights(tmp_path):
    with pytest.raises(ValueError, match=r'nor model\.safetensors or pytorch_model'):
        fetch(str(tmp_path))
    (tmp_path / 'pytorch_model.bin').touch()
    assert fetch(str(tmp_path)).name == 'pytorch_model.bin'
    (tmp_path / 'model.safetensors').touch()
    assert fetch(str(tmp_path)).name == 'model.safetensors'


def test_a_missing_file_names_its_neighbours_and_other_forms(tmp_path):
    (tmp_path / 'epoch_12.pth').touch()
    with pytest.raises(ValueError, match=r'mean epoch_12\.pth\?\): give a file,') as e:
        fetch(str(tmp_path / 'epoch12.pth'))
    assert all(f'{scheme}://' in str(e.value) for scheme in ('timm', 'hf', 'meta'))
    with pytest.raises(ValueError, match='/no/where does not exist: give'):
        fetch('/no/where')
    with pytest.raises(ValueError, match=r's3:// is unknown; give .*timm://'):
        fetch('s3://bucket/f.pth')


def test_a_file_of_the_hub_is_downloaded_once(server):
    server.files['/a/b/resolve/main/model.safetensors'] = DATA
    path = fetch('hf://a/b', SHA)
    assert path.name == 'model.safetensors'
    assert path.read_bytes() == DATA
    server.requests.clear()
    assert fetch('hf://a/b/model.safetensors') == path
    assert not server.requests


def test_the_hub_gives_the_file_and_revision_asked_for(server):
    server.files |= {
        '/a/b/resolve/main/pytorch_model.bin': b'1',
        '/a/b/resolve/v1/pytorch_model.bin': b'2',
        '/a/b/resolve/refs%2Fpr%2F1/x/y.pth': b'3',
    }
    assert fetch('hf://a/b').read_bytes() == b'1'
    assert fetch('hf://a/b@v1').read_bytes() == b'2'
    assert fetch('hf://a/b@refs%2Fpr%2F1/x/y.pth').read_bytes() == b'3'


def test_the_config_of_the_same_commit_is_read_beside_weights_of_the_hub(server):
    commit = hashlib.sha1(b'main').hexdigest()
    server.files |= {
        '/a/b/resolve/main/model.safetensors': weights_of_transformers(),
        f'/a/b/resolve/{commit}/config.json': b'{"model_type": "convnext", '
        b'"hidden_act": "relu"}',
    }
    with pytest.raises(UserError, match="set act='relu' in the backbone"):
        checkpoints.load(ConvNeXt(arch=ARCH), 'hf://a/b')
    server.requests.clear()
    assert (
        checkpoints.load(ConvNeXt(arch=ARCH, act='relu'), 'hf://a/b').stated.act
        == 'relu'
    )
    assert not server.requests  # all is in the cache


def test_weights_of_the_hub_without_a_config_load_and_say_so(
    server, monkeypatch, tmp_path
):
    server.files['/a/b/resolve/main/x.safetensors'] = weights_of_transformers()
    report = checkpoints.load(ConvNeXt(arch=ARCH), 'hf://a/b/x.safetensors')
    assert 'assumed gelu, 1e-6' in str(report)
    hub._fetch_if_possible.cache_clear()
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    said = []
    monkeypatch.setattr(MMLogger, 'warning', lambda self, text: said.append(text))
    report = checkpoints.load(ConvNeXt(arch=ARCH), 'hf://a/b/x.safetensors')
    assert 'assumed gelu, 1e-6' in str(report)
    assert 'a/b/config.json cannot be had' in said[0]


def weights_of_transformers() -> bytes:
    weights = parse(classifier(), checkpoints.CheckpointRef.parse('x.pth'))
    return safetensors.torch.save(rename(weights, 'hf')[0])


def test_timm_names_lead_to_the_hub(server):
    path = '/timm/convnext_nano.d1h_in1k/resolve/main/model.safetensors'
    server.files[path] = DATA
    assert fetch('timm://convnext_nano.d1h_in1k').read_bytes() == DATA
    default = get_pretrained_cfg('convnext_tiny').hf_hub_id
    server.files[f'/{default}/resolve/main/model.safetensors'] = b'default'
    assert fetch('timm://convnext_tiny').read_bytes() == b'default'
    for name in ('convnext_nano.d1_in1k', 'convnxt_nano.d1h_in1k'):
        with pytest.raises(ValueError, match=r'mean .*convnext_nano\.d1h_in1k'):
            fetch(f'timm://{name}')


def test_timm_names_without_a_repository_are_downloaded(server, monkeypatch):
    cfg = get_pretrained_cfg('convnext_nano.d1h_in1k')
    cfg.hf_hub_id, cfg.url = None, f'{server.url}/d/f.pth'
    monkeypatch.setattr('timm.models.get_pretrained_cfg', lambda name: cfg)
    assert fetch('timm://convnext_nano.d1h_in1k').read_bytes() == DATA


@pytest.mark.parametrize(
    ('source', 'status', 'code', 'message'),
    [
        ('a/b', 404, 'EntryNotFound', r'no model\.safetensors and no pytorch_model'),
        ('a/b/x.pth', 404, 'EntryNotFound', r'no x\.pth; see http.*/a/b/tree/main'),
        ('a/b', 404, 'RepoNotFound', 'does not exist or is private'),
        ('a/b', 403, 'GatedRepo', 'is gated: accept its terms at .*/a/b'),
        ('a/b@v9', 404, 'RevisionNotFound', 'has no revision v9'),
        ('a/b', 500, '', r'500.*hf download a/b model\.safetensors'),
    ],
)
def test_what_the_hub_refuses_is_one_message(server, source, status, code, message):
    revision = 'v9' if '@' in source else 'main'
    for name in ('x.pth', *hub.WEIGHTS):
        server.errors[f'/a/b/resolve/{revision}/{name}'] = (status, code)
    with pytest.raises(ValueError, match=message) as error:
        fetch(f'hf://{source}')
    assert '\n' not in str(error.value)
    assert len(server.requests) <= 2


@pytest.mark.parametrize('source', ['b', 'a/b@', 'a--b/c', 'a/b/../../c'])
def test_a_name_no_repository_has_is_one_message(server, source):
    with pytest.raises(ValueError, match=f'^hf://{source}: '):
        fetch(f'hf://{source}')
    assert not server.requests


def test_offline_names_files_cache_and_the_way_out(server, monkeypatch, tmp_path):
    server.files['/a/b/resolve/main/model.safetensors'] = DATA
    cached = fetch('hf://a/b')
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    assert fetch('hf://a/b') == cached
    with pytest.raises(ValueError, match='offline mode is enabled') as error:
        fetch('hf://a/c@v1')
    for part in (
        'model.safetensors and pytorch_model.bin',
        str(tmp_path / 'hub'),
        '`hf download a/c model.safetensors --revision v1`',
    ):
        assert part in str(error.value)


def test_a_hub_out_of_reach_is_told_at_once(monkeypatch):
    url = f'http://127.0.0.1:{closed_port()}/{{repo_id}}/{{revision}}/{{filename}}'
    monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', url)
    begin = time.monotonic()
    with pytest.raises(ValueError, match=r'Connection refused.*hf download a/b'):
        fetch('hf://a/b')
    monkeypatch.setattr(hub, 'TIMEOUT', 0.2)
    with socket.create_server(('127.0.0.1', 0)) as silent:
        url = f'http://127.0.0.1:{silent.getsockname()[1]}/{{filename}}'
        monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', url)
        with pytest.raises(ValueError, match=r'timed out.*hf download a/b'):
            fetch('hf://a/b')
    assert time.monotonic() - begin < 2


def test_a_wrong_hash_leaves_nothing_in_the_hubs_cache(server, tmp_path):
    server.files['/a/b/resolve/main/model.safetensors'] = b'something else'
    with pytest.raises(CheckpointError, match=r'model\.safetensors was removed'):
        fetch('hf://a/b', SHA)
    assert not list((tmp_path / 'hub').rglob('model.safetensors'))
    assert not any((tmp_path / 'hub' / 'models--a--b' / 'blobs').iterdir())
    server.files['/a/b/resolve/main/model.safetensors'] = DATA
    assert fetch('hf://a/b', SHA).read_bytes() == DATA


def test_discard_removes_from_caches_only(server, tmp_path):
    path = fetch(f'{server.url}/d/f.pth')
    assert discard(path)
    assert not path.exists()
    fetch(f'{server.url}/d/f.pth')
    assert len(server.requests) == 2

    server.files['/a/b/resolve/main/model.safetensors'] = DATA
    path = fetch('hf://a/b')
    blob = Path(os.path.realpath(path))
    assert path.is_symlink()
    assert discard(path)
    assert not path.is_symlink()
    assert not blob.exists()
    assert fetch('hf://a/b').read_bytes() == DATA

    own = tmp_path / 'own.pth'
    own.write_bytes(DATA)
    link = path.parent / 'link.pth'
    link.symlink_to(own)
    elsewhere = cache_dir() / 'own.pth'
    elsewhere.touch()
    assert not discard(own)
    assert not discard(elsewhere)
    assert discard(link)
    assert own.exists()
    assert elsewhere.exists()


def test_find_checkpoint_prefers_the_best(tmp_path):
    with pytest.raises(ValueError, match='holds no checkpoint'):
        checkpoints.pick_file(str(tmp_path))
    with pytest.raises(ValueError, match='does not exist: give a file, a work dir'):
        checkpoints.pick_file(str(tmp_path / 'epoch_9.pth'))
    last = tmp_path / 'epoch_2.pth'
    last.touch()
    (tmp_path / 'last_checkpoint').write_text(str(last))
    assert str(checkpoints.pick_file(str(tmp_path))) == str(last)
    for age, name in ((100, 'best_mIoU_iter_10.pth'), (50, 'best_mIoU_iter_20.pth')):
        path = tmp_path / name
        path.touch()
        os.utime(path, (2_000_000_000 - age,) * 2)
    assert str(checkpoints.pick_file(str(tmp_path))) == str(path)
    assert str(checkpoints.pick_file(str(last))) == str(last)
