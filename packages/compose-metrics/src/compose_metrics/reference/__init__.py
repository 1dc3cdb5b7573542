"""Published networks under their real names, from files that are named by their bytes.

Nothing is fetched on import, and nothing is ever unpickled: weights are safetensors, given as a
local path or as a file of a Hub repository at a full commit hash (`weights.HubFile`).
"""
