// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"path"
	"slices"
)

// product is every directory whose code runs in production; hack and test are free to use what they need.
var product = []string{"api", "cmd", "config", "controllers", "internal"}

// pure are the packages that think and do not act: object in, object out.
var pure = []string{
	"internal/accelerator", "internal/checkpoint", "internal/condition", "internal/convert", "internal/culling", "internal/dag", "internal/framework", "internal/gang",
	"internal/health", "internal/kueue", "internal/names", "internal/notebookpod", "internal/observe",
	"internal/poddefault", "internal/podspec", "internal/profile", "internal/route", "internal/serving", "internal/study", "internal/suggest",
	"internal/trialjob",
}

// pureFiles are the thinking half of a controller.
var pureFiles = []string{
	"accelerator.go", "accept.go", "activity.go", "cause.go", "checkpoint.go", "failure.go", "gang.go", "ganglimits.go", "guard.go",
	"heal.go", "indexes.go", "pending.go", "plan.go", "poddefaults.go", "pods.go", "policy.go", "progress.go", "queue.go", "queuewords.go",
	"refuse.go", "remote.go", "restarts.go", "routes.go", "status.go", "topology.go", "volumes.go", "waits.go", "warmstart.go", "world.go",
}

// acting is what pure code may not import: the ways to the API server, the clock, the environment and the network.
var acting = append([]string{"math/rand"}, outside...)

// outside is acting for code that draws numbers by chance, from a seed it was given.
var outside = []string{
	"k8s.io/client-go", "k8s.io/utils/clock", "sigs.k8s.io/controller-runtime",
	"context", "crypto/rand", "flag", "io/ioutil", "log", "net", "os", "sync", "syscall",
}

// place selects files by the directory they are below and, when names are given, by name.
type place struct {
	below  []string
	except []string
	named  []string
	tests  bool // test files too
}

func (p place) has(f *file) bool {
	if f.isTest() && !p.tests {
		return false
	}
	if len(p.named) > 0 && !slices.Contains(p.named, path.Base(f.path)) {
		return false
	}
	return slices.ContainsFunc(p.below, f.in) && !slices.ContainsFunc(p.except, f.in)
}

// importRule says what the files of a place may not import. With only set, they import that and the standard
// library and nothing else; deny is what they may not import even so.
type importRule struct {
	name  string
	place place
	deny  []string
	only  []string
	why   string
}

var importRules = []importRule{
	{
		name:  "api-imports",
		place: place{below: []string{"api"}},
		deny:  []string{"context", "net", "os", "sync"},
		only:  []string{"k8s.io/api", "k8s.io/apimachinery", Module + "/api"},
		why:   "api holds types and no logic",
	},
	{
		name:  "pure-package",
		place: place{below: pure, except: []string{"internal/suggest"}},
		deny:  acting,
		why:   "the package is pure: no client, clock, context, environment or I/O",
	},
	{
		name:  "pure-package",
		place: place{below: []string{"internal/suggest"}},
		deny:  outside,
		why:   "the package is pure: no client, clock, context, environment or I/O",
	},
	{
		name:  "pure-file",
		place: place{below: []string{"controllers"}, named: pureFiles},
		deny:  acting,
		why:   "Plan and Report are pure: read in Observe, and leave writing to the engine",
	},
	{
		name:  "light-launcher",
		place: place{below: []string{"cmd/launcher", "internal/launcher"}},
		deny:  []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
		why:   "the launcher runs in users' pods and stays small",
	},
	{
		name:  "flags",
		place: place{below: product, except: []string{"cmd", "internal/cli"}},
		deny:  []string{"flag", "github.com/spf13/cobra", "github.com/spf13/pflag"},
		why:   "only cmd reads flags: take a value of internal/config",
	},
	{
		name:  "imports-cmd",
		place: place{below: append([]string{"hack", "test"}, product...), tests: true},
		deny:  []string{Module + "/cmd"},
		why:   "nothing imports cmd",
	},
	{
		name:  "imports-test",
		place: place{below: product},
		deny:  []string{Module + "/hack", Module + "/test"},
		why:   "nothing in the product imports tests or tools",
	},
}

// nameRule says which identifiers of a package the files of a place may not use.
type nameRule struct {
	name  string
	place place
	pkg   string
	names []string
	why   string
}

var nameRules = []nameRule{
	{
		name:  "clock",
		place: place{below: product, except: []string{"cmd", "internal/cli", "internal/engine"}},
		pkg:   "time",
		names: []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"},
		why:   "now is an argument, and waiting is Plan.Again",
	},
	{
		name:  "clock",
		place: place{below: product, except: []string{"cmd", "internal/cli", "internal/engine"}},
		pkg:   "k8s.io/apimachinery/pkg/apis/meta/v1",
		names: []string{"Now", "NowMicro"},
		why:   "now is an argument",
	},
	{
		name:  "chance",
		place: place{below: []string{"internal/suggest"}, tests: true},
		pkg:   "math/rand/v2",
		names: []string{
			"ExpFloat64", "Float32", "Float64", "Int", "Int32", "Int32N", "Int64", "Int64N", "IntN", "N", "NormFloat64", "Perm", "Shuffle", "Uint32",
			"Uint32N", "Uint64", "Uint64N", "UintN",
		},
		why: "the same inputs give the same proposals: draw from a stream of the problem's seed",
	},
	{
		name:  "environment",
		place: place{below: product, except: []string{"cmd", "internal/cli", "internal/envtest"}},
		pkg:   "os",
		names: []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Args"},
		why:   "only cmd reads the environment: take a value of internal/config",
	},
	{
		name:  "writes",
		place: place{below: []string{"controllers"}},
		pkg:   "sigs.k8s.io/controller-runtime/pkg/client",
		names: []string{"Client", "Writer", "StatusClient", "SubResourceWriter", "SubResourceClient", "WithWatch", "New"},
		why:   "only the engine writes: controllers read through client.Reader",
	},
}

// badPackageNames say nothing about what is in a package.
var badPackageNames = []string{"base", "common", "constants", "helper", "helpers", "misc", "shared", "types", "util", "utils"}
