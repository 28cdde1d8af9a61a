"""Shipped variants that pass the contract: name -> hash of the file; see `harness.contract.shipped`."""

PROOFS: dict[str, str] = {
    "axial": "2e934ad0c43ba30c",
    "divided": "ba42d75eacb0e1a3",
    "factorised_dot_product": "664484b3b4ba8d08",
    "factorised_encoder": "a91122d8ebd7008a",
    "factorised_self_attention": "d161c8ad02e5da83",
    "joint": "1eab5170605a80cb",
    "local_global": "76a729c929e9829f",
    "local_window": "d6d6e70ec388bcf1",
    "mixing": "cd9a1cbac9aa1041",
    "nystrom": "ae5892ce9bdb081e",
    "pooled": "f3958bba06302016",
    "spatial_only": "c1152acf6e342030",
    "token_shift": "c9c6f583c609eb7f",
    "trajectory": "b52b9a7b6ef6f256",
    "window3d": "13bc5758ef968154",
}
