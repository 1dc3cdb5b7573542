"""Published networks under their real names, from files that are named by their bytes.

Nothing is fetched on import, and nothing is ever unpickled: weights are safetensors, given as a
local path or as a file of a Hub repository at a full commit hash (`weights.HubFile`). The sha256
of what was read is part of every result.

| network | class | published as |
|---|---|---|
| Inception of FID | `inception.Inception2015` | ``weights-inception-2015-12-05-6726825d.pth``, by torch-fidelity |
| CLIP | `clip.OpenClip` | ``open_clip_model.safetensors`` of a Hub repository |
| AlexNet, VGG16 of LPIPS | `lpips_trunk.ImageNetTrunk` | torchvision's classifiers |
| heads of LPIPS | `lpips_trunk.packaged_heads` | inside the package lpips |
| VGGish | `compose_metrics.audio.vggish.VGGish` | ``vggish-10086976.pth``, by torchvggish |
| LAION's aesthetic head | `compose_metrics.aesthetic.AestheticHead` | ``sac+logos+ava1-l14-linearMSE.pth`` |

Files that end in ``.pth`` are pickles: convert them once, where you trust them; the error that
refuses one says how.
"""  # noqa: E501
