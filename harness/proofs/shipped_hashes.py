"""Shipped variants that pass the contract: name -> `proof_hash`; see `harness.contract.shipped`."""

PROOFS: dict[str, str] = {
    "axial": "8fe763688993d325",
    "divided": "6372353ddd8f4546",
    "factorised_dot_product": "babe76a0ab0bcb6f",
    "factorised_encoder": "5b656d14c74acbcb",
    "factorised_self_attention": "8fa09e8c1e7215d8",
    "joint": "436ed57093f60aff",
    "local_global": "c49cd665ba4e28fe",
    "local_window": "f2ae5843f844e8c2",
    "mixing": "2c1a9ff684f9f35c",
    "nystrom": "428df412c308d1b3",
    "pooled": "7168337ae6a289e1",
    "spatial_only": "64dbd7e67e1706e0",
    "token_shift": "5b2b801442d92095",
    "trajectory": "4bdaee30b56e3d83",
    "window3d": "e89fa385a11c7d2e",
}
