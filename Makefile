# What can be done here: `make help`. Every target works on a clean clone on a machine with Go, those of the local cluster
# as root on Linux. KUBECONFIG=FILE, CLUSTER=existing (with IMAGE=the manager's image) or CLUSTER=kind use another cluster.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

module := github.com/millrace-ml/millrace
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
ldflags := -s -w -X $(module)/internal/version.Version=$(VERSION)

# Binaries and images are kept outside the checkout, by version, and survive it.
cache := $(or $(MILLRACE_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/millrace)

# The local cluster, and the binaries of Kubernetes, are the work of a program in a module of its own.
cluster := go run -C hack/cluster .

# Whether that cluster is the local one.
local := $(filter local,$(or $(CLUSTER),$(if $(KUBECONFIG),existing,local)))

# What the local cluster has beyond its least; what is not said stays as it is.
options = NODES=$(NODES) GPUS=$(GPUS) DRA=$(DRA) GATES=$(GATES)

# Modules of their own: what they need never meets the versions of the manager.
nested := hack/cluster test/deviceplugin test/dradriver

# The end-to-end specs that run, and how many of them side by side.
LABELS ?=
PROCS ?= 3

# The tools of hack/tools/go.mod, built once for their versions and this Go.
tools := $(cache)/tools/$(shell { cat hack/tools/go.sum; go env GOVERSION; } | sha256sum | cut -c1-16)
controller-gen := $(tools)/controller-gen
golangci-lint := $(tools)/golangci-lint-kube-api-linter
kustomize := $(tools)/kustomize

# Packages whose tests need a cluster, or an idle machine.
slow := $(module)/test/(e2e|extended|bench)(/|$$)

# Shell that makes KUBEBUILDER_ASSETS point to kube-apiserver and etcd.
define assets
export KUBEBUILDER_ASSETS="$${KUBEBUILDER_ASSETS:-}" KUBEBUILDER_CONTROLPLANE_START_TIMEOUT=60s
[[ -n $$KUBEBUILDER_ASSETS ]] || KUBEBUILDER_ASSETS=$$($(cluster) assets)
endef

# Shell that finds the cluster, and the kubectl of the tests' Kubernetes version. KUBECONFIG is set last: it chooses the
# cluster that the program works with.
define access
kubectl=$$($(cluster) bin kubectl)
KUBECONFIG=$$($(cluster) kubeconfig)
export KUBECONFIG
endef

##@ Start here

.PHONY: help
help: ## Print this
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: deploy ## Start a cluster, install Millrace, and train a net on real data over three pods
	@$(cluster) load pytorch-digits >/dev/null
	$(access)
	hack/demo "$$kubectl" bin/mill

.PHONY: test
test: ## Vet, and run every test that needs no cluster
	@$(assets)
	go vet ./...
	for m in $(nested); do go test -C $$m ./...; done
	go test -timeout 20m $$(go list ./... | grep -v -E '$(slow)')

.PHONY: test-istio
test-istio: ## Ask Istio itself what routes and policies mean to it: validation, analyzers, the real pilot (cold: 10 minutes)
	@go -C test/istio mod tidy -diff
	go vet -C test/istio ./...
	go test -C test/istio ./...

.PHONY: verify
verify: generate manifests lint ## Check what CI checks: generated files, lint, architecture, modules, nothing uncommitted
	@go test ./hack/arch
	for m in . hack/tools $(nested); do
	  echo "go mod tidy -diff in $$m"
	  go -C "$$m" mod tidy -diff
	done
	git diff --exit-code
	untracked=$$(git ls-files --others --exclude-standard)
	if [[ -n $$untracked ]]; then
	  printf 'neither committed nor ignored:\n%s\n' "$$untracked" >&2
	  exit 1
	fi

##@ Code

.PHONY: generate
generate: $(controller-gen) ## Generate deep copies
	@$(controller-gen) object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: $(controller-gen) $(kustomize) ## Generate the CRDs, the manager's role and config/install.yaml
	@made=$$(mktemp -d)
	trap 'rm -rf "$$made"' EXIT
	$(controller-gen) crd:generateEmbeddedObjectMeta=true paths=./api/... output:crd:dir="$$made"
	go run ./hack/crds -in "$$made" -out config/crd/bases
	$(controller-gen) rbac:roleName=millrace-manager paths='./controllers/...;./internal/...' output:rbac:dir=config/rbac
	$(kustomize) build config/default >"$$made/install.yaml"
	cmp -s "$$made/install.yaml" config/install.yaml || cp "$$made/install.yaml" config/install.yaml

.PHONY: fmt
fmt: $(golangci-lint) ## Format
	@$(golangci-lint) fmt
	for m in $(nested) test/istio; do (cd $$m && $(golangci-lint) fmt); done

.PHONY: lint
lint: $(golangci-lint) ## Lint, the API with the Kubernetes API linter
	@$(golangci-lint) fmt --diff
	$(golangci-lint) run
	for m in $(nested); do (cd $$m && $(golangci-lint) fmt --diff && $(golangci-lint) run); done
	cd test/istio && $(golangci-lint) fmt --diff # running them would take all of Istio apart

.PHONY: build
build: ## Build bin/manager, bin/mill and bin/launcher
	@CGO_ENABLED=0 go build -trimpath -ldflags '$(ldflags)' -o bin/ ./cmd/manager ./cmd/mill ./cmd/launcher

.PHONY: envtest-assets
envtest-assets: ## Build kube-apiserver and etcd for tests, and print where they are
	@$(cluster) assets

##@ Cluster

.PHONY: up
up: ## Start the local cluster, or what of it does not run (NODES=20 GPUS=4 DRA=2 GATES=gang add to it)
	@$(cluster) up $(options)

.PHONY: down
down: ## Remove the local cluster
	@$(cluster) down

.PHONY: status
status: ## List the processes of the local cluster and their logs
	@$(cluster) status

.PHONY: image
image: build ## Build the manager's image and print the path of its archive
	@$(cluster) image manager

.PHONY: deploy
deploy: up build ## Install config/default with the manager of this checkout and wait until it runs
	@image=$$($(cluster) load manager)
	$(access)
	"$$kubectl" kustomize config/default | sed "s|docker.io/millrace/manager:dev|$$image|" \
	  | "$$kubectl" apply --server-side --force-conflicts -f - >/dev/null
	"$$kubectl" -n millrace-system rollout status deployment/millrace-manager --timeout=180s

# What users made stays: their objects go with the CRDs, and what is in the namespace with the namespace.
.PHONY: undeploy
undeploy: ## Remove the manager, but no user's object (UNDEPLOY_CRDS=yes removes them too)
	@$(access)
	"$$kubectl" kustomize config/default \
	  | awk -v all='$(UNDEPLOY_CRDS)' 'BEGIN {RS = "---\n"} \
	      all == "yes" || !/(^|\n)kind: (CustomResourceDefinition|Namespace|PersistentVolumeClaim)\n/ {printf "---\n%s", $$0}' \
	  | "$$kubectl" delete --ignore-not-found -f -

.PHONY: e2e
e2e: GPUS = $(if $(local),4)
e2e: DRA = $(if $(local),2)
e2e: GATES = $(if $(local),none)
e2e: deploy ## Run the end-to-end tests on the cluster: real kubelet, real PyTorch, real MPI, simulated GPUs
	@CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o bin/ ./hack/images/peers
	for image in pytorch-digits mpi peers notebook mariadb; do
	  $(cluster) load "$$image" >/dev/null
	done
	$(access)
	export KUBECTL="$$kubectl" MILL="$$PWD/bin/mill" AUDIT_LOG="$$(dirname "$$KUBECONFIG")/logs/manager-requests.log"
	[[ -f $$AUDIT_LOG ]] || AUDIT_LOG=
	CGO_ENABLED=0 go build -o bin/ github.com/onsi/ginkgo/v2/ginkgo
	run() { bin/ginkgo --no-color --procs=$(PROCS) --timeout=40m -v --label-filter="$$1" ./test/e2e; }
	if [[ -n '$(LABELS)' ]]; then run '$(LABELS)'; exit; fi
	run '!native'
	[[ -n '$(local)' ]] || exit 0
	# The same cluster once more, now with Kubernetes' own scheduling of gangs.
	env -u KUBECONFIG $(cluster) up GATES=gang
	result=0
	run native || result=$$?
	env -u KUBECONFIG $(cluster) up GATES=none
	exit $$result

.PHONY: e2e-extended
e2e-extended: ## Run the tests with other systems, built from their modules: the real Kueue
	@$(assets)
	KUEUE=$$($(cluster) bin kueue)
	KUEUE_CRDS=$$(go list -C hack/cluster/versions/kueue -m -f '{{.Dir}}' sigs.k8s.io/kueue)/config/components/crd/bases
	export KUEUE KUEUE_CRDS
	go test -count=1 -timeout 20m -v ./test/extended/...

##@ Measurements

.PHONY: bench
bench: ## Measure against a plain client
	@$(assets)
	go test -count=1 -timeout 90m -v ./test/bench/...

# Asking go for the list of tools would download the modules of all of them.
$(tools)/%:
	@echo "building $*, once" >&2
	package=$$(sed -n -E 's!^\t([^ ]*/$*(/v[0-9]+)?)$$!\1!p' hack/tools/go.mod)
	mkdir -p $(@D)
	go build -C hack/tools -trimpath -o $@ "$$package" 2>$@.log || { cat $@.log >&2; exit 1; }
	rm $@.log
