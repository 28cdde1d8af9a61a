"""Shipped variants that pass the contract: name -> `proof_hash`; see `harness.contract.shipped`."""

PROOFS: dict[str, str] = {
    "axial": "0a804a09d5196ec9",
    "divided": "a14c39113ae9f42f",
    "factorised_dot_product": "c1090f73d4d94e00",
    "factorised_encoder": "4d9e1d96f3869d48",
    "factorised_self_attention": "46046dd3181cc392",
    "joint": "bf36887ca73bd7dc",
    "local_global": "7f26890f3936cbee",
    "local_window": "bb5f90d2064a67e7",
    "mixing": "20a725ab09375f1e",
    "nystrom": "44b732b5f04e6f0a",
    "pooled": "0819f9ecaffb30b2",
    "spatial_only": "e9ed129ace6e4435",
    "token_shift": "2414be3d67b2dd36",
    "trajectory": "1fae908b3105bd77",
    "window3d": "1ffbce3849cf0dbd",
}
