"""Pictures compared one to one: structure (`ssim`) and appearance (`lpips`)."""
