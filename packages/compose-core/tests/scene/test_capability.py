"""Nothing that a scene says is dropped in silence."""

import pytest

from compose_core.errors import SceneError
from compose_core.scene import Camera, Layer, Proxy, Scene, check

ALL = {"prompt", "negative", "box", "mask", "z", "weight", "wrap"}


def scene(**layer):
    return Scene(
        canvas=(8, 8), prompt="toys", layers=[Layer(name="ball", prompt="a sphere", **layer)]
    )


def test_a_scene_that_is_understood_gives_no_warning():
    assert check(scene(box=(0, 0, 1, 1), z=1.0), ALL, (), "regional") == []


def test_what_is_not_used_is_named_with_its_layer():
    (warning,) = check(scene(depth="d.png"), ALL, (), "regional")
    assert "'regional'" in warning and "`depth`" in warning and "'ball'" in warning


def test_defaults_are_not_reported():
    assert check(scene(), {"prompt"}, (), "plain") == []


def test_strict_turns_warnings_into_an_error():
    with pytest.raises(SceneError, match="does not use all") as caught:
        check(scene(depth="d.png", keypoints="k.json"), ALL, (), "regional", strict=True)
    assert "`depth`" in caught.value.got and "`keypoints`" in caught.value.got


def test_what_is_needed_must_be_there():
    with pytest.raises(SceneError, match="needs `depth`"):
        check(scene(), ALL, {"depth"}, "cnc")
    assert check(scene(depth="d.png"), ALL, {"depth"}, "cnc") == []


@pytest.mark.parametrize("layer", [{"box": (0, 0, 1, 1)}, {"mask": "m.png"}])
def test_one_of_several_is_enough(layer):
    assert check(scene(**layer), ALL, {"box|mask"}, "layout") == []
    with pytest.raises(SceneError, match="`box` or `mask`"):
        check(scene(), ALL, {"box|mask"}, "layout")


def test_a_proxy_serves_what_it_is_rendered_to():
    with_proxy = scene(proxy=Proxy(shape="cube", position=(0, 0.5, 4)))
    assert check(with_proxy, {"prompt", "depth"}, {"depth"}, "cnc") == []
    assert len(check(with_proxy, {"prompt"}, (), "plain")) == 1


def test_keys_of_the_scene_itself_are_reported():
    closed = Scene(
        canvas=(8, 8),
        prompt="x",
        wrap=True,
        negative="blur",
        camera=Camera(),
        layers=[Layer(name="a", prompt="y")],
    )
    warnings = check(closed, {"prompt"}, (), "plain")
    assert [w.split("`")[1] for w in warnings] == ["camera", "negative", "wrap"]


def test_a_camera_serves_proxies_only():
    solid = Proxy(shape="cube", position=(0, 0.5, 4))
    for layer, expected in [(Layer(name="a", proxy=solid), 0), (Layer(name="a", prompt="y"), 1)]:
        seen = Scene(canvas=(8, 8), prompt="x", camera=Camera(), layers=[layer])
        assert len(check(seen, {"prompt", "mask"}, (), "plain")) == expected


def test_phrases_of_layers_are_reported_to_methods_without_text():
    assert check(scene(segments="s.png"), {"segments"}, (), "maps") != []
    silent = Scene(canvas=(8, 8), prompt="x", layers=[Layer(name="a", segments="s.png")])
    assert check(silent, {"segments"}, (), "maps") == []
