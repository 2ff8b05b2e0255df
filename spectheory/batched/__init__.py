"""The verification rules over a batch of requests in torch, from raw logits, on the same tape."""
