"""Credentials for the Kubernetes API: the pod's own service account, or a kubeconfig for work from outside."""

from importlib.metadata import version

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from tokenflow_operator.errors import ConfigError
from tokenflow_operator.kube.connections import PromptConnections


async def connect(*, kubeconfig: str | None, instance: str) -> ApiClient:
    """Return a client that is logged in.

    Args:
        kubeconfig: path of a kubeconfig file; without it the pod's service account is used.
        instance: name of this replica, by which the API server's audit log tells it from the others.

    Raises:
        ConfigError: there are no usable credentials.
    """
    configuration = Configuration()
    try:
        if kubeconfig:
            await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call] # typed only in name
        else:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # likewise
    except (config.ConfigException, OSError) as error:
        remedy = "run the operator in a pod, or give --kubeconfig"
        raise ConfigError(f"no credentials for the Kubernetes API: {error}: {remedy}") from error
    client = ApiClient(configuration)
    client.rest_client = PromptConnections(configuration)
    client.user_agent = f"tokenflow-operator/{version('tokenflow-operator')} ({instance})"
    return client
