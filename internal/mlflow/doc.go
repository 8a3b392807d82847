// Package mlflow reads a registered model version from an MLflow tracking server: what is
// known of it, the run that made it, and its files, through the server's REST API and its
// artifact proxy (/api/2.0/mlflow and /api/2.0/mlflow-artifacts, MLflow 2.0 and later).
// It was written against the answers of MLflow 3.17.2, which its tests replay.
//
// Nothing that a server says is believed further than it can be checked: answers, lists,
// folders and files are bounded in size, count, depth and time; a name in a listing is one
// plain component of a path or the import ends; a file has exactly the size that the
// listing gave; and nobody is led to another host.
//
// Unlike internal/outbound, which fetches for others from inside a server, this runs on the
// machine and with the rights of whoever typed the address, so private addresses are fine.
//
// Every error is a *caos.Error.
package mlflow
