"""Shipped variants that pass the contract: name -> hash of the file; see `harness.contract.shipped`."""

PROOFS: dict[str, str] = {
    "axial": "d480f288fb31fd0d",
    "divided": "be84b0f7a2d33a63",
    "factorised_dot_product": "8fe05234bdaa6279",
    "factorised_encoder": "def927c7c5eaa7dc",
    "factorised_self_attention": "1859b0e3800ec837",
    "joint": "8448ae2398a672e1",
    "local_global": "954ca6eb6a35d385",
    "local_window": "95a012022a4ed221",
    "mixing": "3c1220f4c2898fd9",
    "nystrom": "94430d43c9c8d3bd",
    "pooled": "70d85ff55c3b1ab4",
    "spatial_only": "3c2e2b127af26ad7",
    "token_shift": "258df157d16753c3",
    "trajectory": "d3df2e7b0235b3c6",
    "window3d": "62d79c150ae965f3",
}
