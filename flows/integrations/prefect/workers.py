"""Who works for a pool of Prefect's, as its server tells.

`read_workers_for_work_pool` of Prefect 3.8's client asks in a way that the server refuses.
"""

from prefect.client.orchestration import SyncPrefectClient


def online_workers(client: SyncPrefectClient, pool: str) -> set[str]:
    """The names of the workers that have told the pool lately that they are there.

    Raises PrefectHTTPStatusError, also where there is no such pool; httpx.HTTPError.
    """
    answer = client.request(
        "POST",
        "/work_pools/{work_pool_name}/workers/filter",
        path_params={"work_pool_name": pool},
        json={},
    )
    return {row["name"] for row in answer.json() if row["status"] == "ONLINE"}
