"""Shipped variants that pass the contract: name -> `proof_hash`; see `harness.contract.shipped`."""

PROOFS: dict[str, str] = {
    "axial": "96b7d23550314fab",
    "divided": "03282602d29d8e54",
    "factorised_dot_product": "ad76934466524536",
    "factorised_encoder": "ee32ad719e0e94dc",
    "factorised_self_attention": "e9aa144cd672cb92",
    "joint": "1546868ae6519714",
    "local_global": "b474cf949709c7d1",
    "local_window": "40963576a0f80a23",
    "mixing": "8386dc10f3e08f84",
    "nystrom": "5b384f0cf3255dda",
    "pooled": "80a81a24a01d2396",
    "spatial_only": "928b6ad158c3e69a",
    "token_shift": "7aef8448417c9a76",
    "trajectory": "9bace8920e44e296",
    "window3d": "56a25d97465819b8",
}
