# Use a model without a checkout: deploy.apply and deploy.serve on processors. No model is inside.
#
#   docker build -t maskline .
#   docker run --rm -v "$PWD:/data" -u "$(id -u):$(id -g)" maskline apply model.maskline.zip photos --out found
#   docker run --rm -v "$PWD:/data:ro" -p 127.0.0.1:8000:8000 maskline serve model.maskline.zip --host 0.0.0.0
#
# PyTorch comes with its libraries for GPUs, some GB; an index that has it without them is given by
# --build-arg PIP_EXTRA_INDEX_URL=...

FROM python:3.11-slim

# LightGBM's threads; the other libraries bring what they need.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*

WORKDIR /maskline
COPY requirements-serve.txt requirements-deploy.txt ./
ARG PIP_EXTRA_INDEX_URL=
RUN python -m pip install --no-cache-dir -r requirements-deploy.txt
COPY src src/
COPY deploy deploy/

# Any user may run it (-u), so what libraries keep goes to a folder that all may write to.
RUN useradd --create-home maskline && mkdir /data && chown maskline /data
ENV PYTHONPATH=/maskline PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER maskline
VOLUME /data
WORKDIR /data
EXPOSE 8000

# Of the page; of apply there is nothing to ask, and it counts as healthy.
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import pathlib, urllib.request as ask; \
b'deploy.serve' in pathlib.Path('/proc/1/cmdline').read_bytes() and ask.urlopen('http://127.0.0.1:8000/model', timeout=3)"]

# `apply` or `serve` is the first word that is given.
ENTRYPOINT ["sh", "-c", "exec python -m deploy.\"$0\" \"$@\""]
CMD ["apply", "--help"]
