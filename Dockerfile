# seqit's core on a CPU: `docker run -i IMAGE augment < seeds.jsonl`. Its training, with torch for
# GPUs, is a target of its own: `docker build --target train`, `docker run --gpus all IMAGE train …`.
# vLLM will be another one: their pins of torch and transformers clash.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY schemas schemas
COPY examples examples
COPY seqit seqit
# The base's pip may be too old to know build constraints; the image needs none at all.
RUN python3 -m venv /opt/seqit \
    && /opt/seqit/bin/pip install --no-cache-dir --constraint constraints.txt pip \
    && /opt/seqit/bin/pip install --no-cache-dir --constraint constraints.txt \
        --build-constraint constraints.txt . \
    && /opt/seqit/bin/pip uninstall --yes pip

FROM ${BASE} AS build-train
WORKDIR /src
COPY pyproject.toml constraints/train.txt README.md ./
COPY schemas schemas
COPY examples examples
COPY seqit seqit
# torch first and by itself. No operator of DeepSpeed's is compiled: the optimizer is PyTorch's.
RUN python3 -m venv /opt/seqit \
    && /opt/seqit/bin/pip install --no-cache-dir --constraint train.txt pip torch \
    && DS_BUILD_OPS=0 /opt/seqit/bin/pip install --no-cache-dir --constraint train.txt \
        --build-constraint train.txt '.[train]' \
    && /opt/seqit/bin/pip uninstall --yes pip

FROM ${BASE} AS train
LABEL org.opencontainers.image.title="seqit train" \
      org.opencontainers.image.description="Sequential instruction tuning with DeepSpeed"
COPY --from=build-train /opt/seqit /opt/seqit
ENV PATH=/opt/seqit/bin:$PATH \
    XDG_CACHE_HOME=/data/.cache \
    HF_HOME=/data/.cache/huggingface \
    PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 1000 seqit && install --directory --owner seqit /data
USER 1000
WORKDIR /data
ENTRYPOINT ["seqit"]
CMD ["train", "--help"]

FROM ${BASE} AS core
LABEL org.opencontainers.image.title="seqit" \
      org.opencontainers.image.description="Sequential instruction tuning on the command line"
COPY --from=build /opt/seqit /opt/seqit
# Completions that were paid for stay in the mounted folder, not in a container that is removed.
ENV PATH=/opt/seqit/bin:$PATH \
    XDG_CACHE_HOME=/data/.cache \
    PYTHONUNBUFFERED=1
# Not root: what a command writes into a mounted folder belongs to `docker run --user`.
RUN useradd --create-home --uid 1000 seqit && install --directory --owner seqit /data
USER 1000
WORKDIR /data
# No shell in between: signals reach seqit, which is process 1 and handles them.
ENTRYPOINT ["seqit"]
CMD ["--help"]
