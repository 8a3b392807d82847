"""Logs the two versions of the model that recorded.json shows, to a local MLflow server.

    pip install mlflow==3.17.2 scikit-learn==1.9.1 skl2onnx onnxruntime pyarrow
    mlflow server --port 5000 --backend-store-uri sqlite:///mlflow.db --artifacts-destination ./artifacts
    python log_model.py http://127.0.0.1:5000 flights-3m.parquet
    CAOS_TEST_MLFLOW=http://127.0.0.1:5000 go test ./internal/mlflow -run TestRecord -record

The flights are those of the npm package vega-datasets 3.2.1 (public domain).
"""

import sys

import mlflow
import mlflow.onnx
import mlflow.sklearn
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from skl2onnx import to_onnx
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

mlflow.set_tracking_uri(sys.argv[1])
flights = pq.read_table(sys.argv[2]).slice(0, 60000).to_pandas()
when = pd.to_datetime(flights["date"])
y = flights["delay"].to_numpy(dtype=np.float64)
x = np.column_stack([flights["distance"].to_numpy(dtype=np.float64), when.dt.hour, when.dt.day_of_week]).astype(np.float64)
n = 50000
model = make_pipeline(StandardScaler(), Ridge(alpha=1.0)).fit(x[:n], y[:n])

mlflow.set_experiment("flight-delay")
server = mlflow.MlflowClient()
with mlflow.start_run(run_name="ridge-50k"):
    mlflow.log_params({"alpha": 1.0, "rows": n, "features": "distance,hour,weekday"})
    for step, part in enumerate(np.array_split(np.arange(n, len(y)), 3)):
        mlflow.log_metric("mae_minutes", float(mean_absolute_error(y[part], model.predict(x[part]))), step=step)
    mlflow.log_metric("bias_minutes", float((model.predict(x[n:]) - y[n:]).mean()))
    mlflow.log_metric("undefined", float("nan"))
    mlflow.set_tags({"team": "delay", "stage": "candidate"})
    mlflow.sklearn.log_model(model, name="model", registered_model_name="flight-delay", input_example=x[:2],
                             serialization_format="cloudpickle", pip_requirements=["scikit-learn==1.9.1", "cloudpickle"])
with mlflow.start_run(run_name="ridge-50k-onnx"):
    mlflow.log_params({"alpha": 1.0, "rows": n, "opset": 17})
    mlflow.log_metric("mae_minutes", float(mean_absolute_error(y[n:], model.predict(x[n:]))))
    mlflow.onnx.log_model(to_onnx(model, x[:1].astype(np.float32), target_opset=17), name="model",
                          registered_model_name="flight-delay", pip_requirements=["onnx"])
server.set_model_version_tag("flight-delay", "1", "validation", "pending")
server.update_model_version("flight-delay", "1", description="Ridge regression of the arrival delay")
server.set_model_version_tag("flight-delay", "2", "caos.version", "1.1.0")
server.set_registered_model_alias("flight-delay", "champion", "2")
server.set_registered_model_tag("flight-delay", "caos.model_id", "NN-DLY-001")
