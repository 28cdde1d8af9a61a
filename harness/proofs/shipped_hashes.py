"""Shipped variants that pass the contract: name -> hash of the file; see `harness.contract.shipped`."""

PROOFS: dict[str, str] = {
    "axial": "2e934ad0c43ba30c",
    "divided": "ba42d75eacb0e1a3",
    "factorised_dot_product": "664484b3b4ba8d08",
    "factorised_encoder": "a4bc9c584e6b88c1",
    "factorised_self_attention": "d161c8ad02e5da83",
    "joint": "1eab5170605a80cb",
    "local_global": "76a729c929e9829f",
    "local_window": "4749634cab732f2b",
    "mixing": "cd9a1cbac9aa1041",
    "nystrom": "ae5892ce9bdb081e",
    "pooled": "e28f28958e049fdc",
    "spatial_only": "c1152acf6e342030",
    "token_shift": "242c0ebbfa801bc7",
    "trajectory": "b52b9a7b6ef6f256",
    "window3d": "13bc5758ef968154",
}
