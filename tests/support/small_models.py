"""Makes the models of configs small enough for a step in a fraction of a second."""

NARROWER = {64: 16, 256: 32, 512: 32, 1024: 64}
ROIS = 32  # that a step learns from, for each image and head


def narrow(node: object) -> object:
    """Copy a config with fewer channels in necks and heads."""
    if isinstance(node, dict):
        return type(node)(
            {
                key: NARROWER.get(value, value)
                if 'channels' in key and isinstance(value, int)
                else narrow(value)
                for key, value in node.items()
            }
        )
    return [narrow(item) for item in node] if isinstance(node, list) else node


def sample_few(node: object) -> object:
    """Copy a config whose two-stage detectors learn from few RoIs."""
    if isinstance(node, dict):
        few = {'num': ROIS} if 'pos_fraction' in node else {}
        return type(node)({k: sample_few(v) for k, v in node.items()} | few)
    return [sample_few(item) for item in node] if isinstance(node, list) else node
