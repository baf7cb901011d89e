# seqit's core on a CPU: `docker run -i IMAGE augment < seeds.jsonl`. Training, with torch for GPUs,
# is a separate target: `docker build --target train`, `docker run --gpus all IMAGE train …`. vLLM
# will be another target: its pins of torch and transformers conflict with those of training.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY schemas schemas
COPY examples examples
COPY seqit seqit
# The pip of the base image may be too old for build constraints; the final image needs no pip.
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
# torch is installed first. No DeepSpeed operators are compiled: the optimizer is PyTorch's.
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
# Keep paid completions in the mounted folder, not in a container that is removed.
ENV PATH=/opt/seqit/bin:$PATH \
    XDG_CACHE_HOME=/data/.cache \
    PYTHONUNBUFFERED=1
# Not root. With `docker run --user`, that user owns the files written to a mounted folder.
RUN useradd --create-home --uid 1000 seqit && install --directory --owner seqit /data
USER 1000
WORKDIR /data
# No shell in between, so that signals reach seqit, which is process 1 and handles them.
ENTRYPOINT ["seqit"]
CMD ["--help"]
