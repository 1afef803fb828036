# One node: tini as PID 1, the node as its child, user 10001, nothing to write but /var/lib/raft.
#
#   make image                                      docker build --network host --tag raft:VERSION .
#   docker run --rm raft:0.1.0 --print-config       arguments are those of `raft-node serve`
#   docker run --rm --entrypoint raft-node raft:0.1.0 --help
#
# In a running container the node's process id is in /proc/1/task/1/children, so it is killed or paused in place with
#   sh -c 'kill -KILL $(cat /proc/1/task/1/children)'      the container ends with 137 and is restarted by its policy
#   sh -c 'kill -STOP $(cat /proc/1/task/1/children)'      and -CONT to let it go on

# Of pyproject.toml's extras, those that the image has: s3, for backups into a bucket; otel beside it, for traces.
ARG EXTRAS="s3"
# node.__version__, for the label: a build is refused where they differ.
ARG VERSION=0.1.0

FROM python:3.13-slim AS build
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends tini >/dev/null
RUN python -m venv --without-pip /opt/raft
# Dependencies have a layer of their own: a change of the code alone does not fetch them again. Those of backups in S3
# are never imported by a node: the Job that takes backups has the node's image.
COPY pyproject.toml /source/
ARG EXTRAS
RUN python -c 'import sys, tomllib; project = tomllib.load(open("/source/pyproject.toml", "rb"))["project"]; \
      print(*project["dependencies"], *(one for extra in sys.argv[1:] for one in project["optional-dependencies"][extra]), sep="\n")' \
      $EXTRAS > /source/requirements.txt \
 && python -m pip --python /opt/raft/bin/python install --quiet --no-cache-dir --no-compile --only-binary :all: \
      --requirement /source/requirements.txt
COPY README.md LICENSE /source/
COPY node /source/node
COPY raftclient /source/raftclient
# raft-chaos works from outside; its code is not in the image, so its command must not be there either.
RUN python -m pip --python /opt/raft/bin/python install --quiet --no-cache-dir --no-compile --no-deps /source \
 && rm /opt/raft/bin/raft-chaos
ARG VERSION
RUN installed=$(/opt/raft/bin/python -c 'import node; print(node.__version__)'); test "$installed" = "$VERSION" || \
    { echo "node.__version__ is $installed and VERSION says $VERSION: build with --build-arg VERSION=$installed"; exit 1; }
# The root is read-only at run time, so bytecode is made now; unchecked, for the sources cannot change.
RUN find /opt/raft -name __pycache__ -prune -exec rm -rf {} + \
 && /opt/raft/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/raft/lib

FROM python:3.13-slim
ARG VERSION
LABEL org.opencontainers.image.title="raft" \
      org.opencontainers.image.description="One node of a real, durable Raft cluster in Python." \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /usr/bin/tini /usr/bin/tini
COPY --from=build /opt/raft /opt/raft
ENV PATH=/opt/raft/bin:$PATH
# The base carries no bytecode of the standard library: importing what a node imports leaves exactly that part behind.
RUN python -c 'import node.cli.commands, node.app, node.healthcheck, raftclient' \
 && mkdir --mode=0750 /var/lib/raft && chown 10001:10001 /var/lib/raft
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 RAFT_DATA_DIR=/var/lib/raft
USER 10001:10001
WORKDIR /var/lib/raft
EXPOSE 8001 9001
# Alive, not ready: a node without a leader is as healthy as it can be, and a restart would not help it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=6 CMD ["python", "-m", "node.healthcheck", "livez"]
ENTRYPOINT ["/usr/bin/tini", "--", "raft-node", "serve"]
