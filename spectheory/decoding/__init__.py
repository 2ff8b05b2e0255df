"""Language models, draft models and prompts: where target and draft laws come from."""
