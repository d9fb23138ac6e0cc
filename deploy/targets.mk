# Bentos, containers, and the checks of a deployment. Included by the Makefile.

TAG ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unversioned)# of bentos and images
REGISTRY ?=# before the image's name, such as registry.example.com/face-search
PLATFORM ?=# such as linux/amd64; empty: that of the engine
CONTAINERIZE_OPTIONS ?=# more for `bentoml containerize`, such as --opt network=host

BASE_IMAGE := python:3.11-slim# BentoML's base image, by `python_version` of the bentofiles
within = $(if $(shell command -v timeout),timeout -k 5 $(1))# seconds, for commands that might never end

BENTO_FILES := bentos/vectorizer/bentofile.yaml bentos/search/bentofile.yaml bentofile.yaml
GPU_BENTO_FILES := bentos/vectorizer/bentofile-gpu.yaml bentos/search/bentofile-gpu.yaml
GPU_SUFFIX := -gpu# after TAG, in the versions of these bentos and the tags of their images
IMAGES := image-vectorizer image-search

.PHONY: client-wheel bentos bentos-gpu containers containers-gpu container-test k8s-check roll-check swap-check monitoring-check bulk-check

client-wheel: $(VENV)/dev ## build the wheel of the client and of the command face-search into dist/
	@$(BIN)/hatchling build -t wheel

# $(1): the bentofiles; $(2): what follows TAG in their version.
define build-bentos
	@for file in $(1); do \
		name=$$(sed -n 's/^name: //p' $$file); \
		$(BIN)/bentoml delete --yes $$name:$(TAG)$(2) >/dev/null 2>&1 || true; \
		$(BIN)/bentoml build --output tag --version $(TAG)$(2) -f $$file .; \
	done
endef

# From /tmp, because BentoML unpacks the Dockerfile's template there and looks for it in the current directory only.
# $(1): what follows TAG in the versions of the bentos and the tags of the images.
define build-images
	@$(call within,20) docker info >/dev/null 2>&1 || { echo "$@: the Docker engine does not respond (docker info)"; exit 1; }
	@docker image inspect $(BASE_IMAGE) >/dev/null 2>&1 || \
		$(call within,600) docker pull $(if $(PLATFORM),--platform $(PLATFORM)) $(BASE_IMAGE) || \
		{ echo "$@: the engine has no base image $(BASE_IMAGE) and cannot pull it"; exit 1; }
	@for name in $(IMAGES); do \
		(cd /tmp && TMPDIR=/tmp $(call within,1800) $(CURDIR)/$(BIN)/bentoml containerize $$name:$(TAG)$(1) \
			-t $(if $(REGISTRY),$(REGISTRY)/)$$name:$(TAG)$(1) $(if $(PLATFORM),--opt platform=$(PLATFORM)) $(CONTAINERIZE_OPTIONS)) || \
			{ echo "$@: $$name could not be built"; exit 1; }; \
	done
	@docker image ls --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep -E '(^|/)image-(search|vectorizer):$(TAG)$(1) '
endef

bentos: pack ## build the three bentos, face pack inside; TAG is their version, by default the commit's
	$(call build-bentos,$(BENTO_FILES),)

bentos-gpu: pack ## build the bentos of both services for nodes with an NVIDIA GPU; their version is TAG-gpu
	$(call build-bentos,$(GPU_BENTO_FILES),$(GPU_SUFFIX))

containers: bentos ## build the images of both services; TAG, REGISTRY, PLATFORM
	$(call build-images,)

containers-gpu: bentos-gpu ## the same for nodes with an NVIDIA GPU (deploy/gpu); their tag is TAG-gpu
	$(call build-images,$(GPU_SUFFIX))

container-test: $(VENV)/dev ## build the images, run them with restricted rights, call every endpoint; skipped without an engine
	@if $(call within,20) docker info >/dev/null 2>&1; then \
		$(MAKE) --no-print-directory containers && \
		CONTAINER_TAG=$(TAG) CONTAINER_REGISTRY=$(REGISTRY) $(BIN)/python -m pytest -rs tests/containers; \
	else \
		echo "container-test: SKIPPED, the Docker engine does not respond (docker info)"; \
	fi

k8s-check: $(VENV)/dev ## check manifests, gateway, GPU overlay and Helm chart against schemas (Kubernetes 1.29, 1.33, 1.37) and each other
	$(BIN)/python -m pytest tests/unit/deploy

roll-check: $(VENV)/dev pack ## replace every replica of both services twice under load, behind HAProxy; no request may fail
	$(BIN)/python -m tests.rollout

swap-check: $(VENV)/dev pack ## change 1,000 photos to another face pack under load, with the job killed twice; ARGS=--help
	@PYTHONPATH=.:locust $(BIN)/python -m tests.swap $(ARGS)

monitoring-check: $(VENV)/dev pack ## the dashboard and the alerts under load, with a real Prometheus; ARGS=--help
	@$(BIN)/python -m tests.monitoring $(ARGS)

bulk-check: $(VENV)/dev pack ## index 2,000 photos from a bucket, killed five times and without each store for 30 s; ARGS=--help
	@PYTHONPATH=.:locust $(BIN)/python -m tests.bulk $(ARGS)
