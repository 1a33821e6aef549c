// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

const longest = "the-longest-name-that-a-namespace-can-have-is-of-63-characters/the-longest-name-that-a-notebook-can-have-is-of-fift/"

// addresses are where requests go: to which notebook's Service, and what the server sees. Those without one go nowhere.
var addresses = map[string]struct{ service, path string }{
	"/notebook/team-a/lab/":                                    {"lab.team-a", "/notebook/team-a/lab/"},
	"/notebook/team-a/lab/tree?a=b/../c&d=%2F":                 {"lab.team-a", "/notebook/team-a/lab/tree?a=b/../c&d=%2F"},
	"/notebook/team-a/lab/api/kernels/x/channels?session_id=1": {"lab.team-a", "/notebook/team-a/lab/api/kernels/x/channels?session_id=1"},
	"/notebook/team-a/lab/files/a%20b%2Fc":                     {"lab.team-a", "/notebook/team-a/lab/files/a%20b%2Fc"},
	"/notebook/team-a/lab2/tree":                               {"lab2.team-a", "/notebook/team-a/lab2/tree"},
	"/notebook/team-b/lab/tree":                                {"lab.team-b", "/notebook/team-b/lab/tree"},
	"/notebook/team-a/code/":                                   {"code.team-a", "/"},
	"/notebook/team-a/code/stable/out/vs.js?v=1":               {"code.team-a", "/stable/out/vs.js?v=1"},
	"/notebook/team-a/rstudio/auth-sign-in":                    {"rstudio.team-a", "/auth-sign-in"},
	"/notebook/team-a/app/":                                    {"app.team-a", "/app/"},
	"/notebook/team-a/app/static/a.css":                        {"app.team-a", "/app/static/a.css"},
	"/notebook/" + longest:                                     {host(longest), "/notebook/" + longest},
	"/notebook/team-a/la":                                      {},
	"/notebook/team-a/labor/":                                  {},
	"/notebook/team-a/":                                        {},
	"/notebook/team-a":                                         {},
	"/Notebook/team-a/lab/":                                    {},
	"/notebook/team-c/lab/":                                    {},
	"/notebook%2Fteam-a%2Flab%2F":                              {},
	"/x/notebook/team-a/lab/":                                  {},
	"/":                                                        {},
}

// host is the Service of a notebook, by its namespace and name.
func host(notebook string) string {
	namespace, name, _ := strings.Cut(strings.Trim(notebook, "/"), "/")
	return name + "." + namespace
}

// cluster is what pilot calls a Service.
func cluster(service string) string { return "outbound|80||" + service + ".svc.cluster.local" }

func TestEachAddressLeadsToItsNotebookAlone(t *testing.T) {
	for kind := range ingresses {
		t.Run(string(kind), func(t *testing.T) {
			g := newPilot(t, kind, meshconfig.MeshConfig_ProxyPathNormalization_DEFAULT).gateway(t, kind)
			for path, want := range addresses {
				for what, r := range map[string]request{"GET": get(path), "websocket": websocket(path)} {
					got := g.send(t, r)
					switch {
					case want.service == "" && got.status != http.StatusNotFound:
						t.Errorf("%s of %s goes to %s with %s, want nowhere", what, path, got.cluster, got.request.path)
					case want.service != "" && (got.cluster != cluster(want.service) || got.request.path != want.path):
						t.Errorf("%s of %s goes to %s with %s (%d)", what, path, got.cluster, got.request.path, got.status)
					case want.service != "" && got.timeout != 0:
						t.Errorf("%s of %s ends after %s: a kernel may think for longer", what, path, got.timeout)
					}
				}
			}
		})
	}
}

// TestTheLastSlashMayBeLeftOut takes either path for the server's root: which of the two it sees is the gateway's.
func TestTheLastSlashMayBeLeftOut(t *testing.T) {
	for kind := range ingresses {
		t.Run(string(kind), func(t *testing.T) {
			g := newPilot(t, kind, meshconfig.MeshConfig_ProxyPathNormalization_DEFAULT).gateway(t, kind)
			for path, root := range map[string]string{
				"/notebook/team-a/lab": "/notebook/team-a/lab", "/notebook/team-a/lab2": "/notebook/team-a/lab2",
				"/notebook/team-a/code": "", "/notebook/team-a/app": "/app",
			} {
				got := g.send(t, get(path+"?a=b"))
				seen, query, _ := strings.Cut(got.request.path, "?")
				if got.cluster != cluster(host(strings.TrimPrefix(path, "/notebook/"))) || strings.TrimSuffix(seen, "/") != root || query != "a=b" {
					t.Errorf("%s goes to %s with %s (%d), want %s/", path, got.cluster, got.request.path, got.status, root)
				}
			}
		})
	}
}

func TestHeadersAreSetForTheirNotebookAlone(t *testing.T) {
	for kind := range ingresses {
		t.Run(string(kind), func(t *testing.T) {
			g := newPilot(t, kind, meshconfig.MeshConfig_ProxyPathNormalization_DEFAULT).gateway(t, kind)
			with := g.send(t, get("/notebook/team-a/rstudio/", "x-rstudio-root-path", "/of/a/visitor/", user, "ann@example.com")).request.header
			want := http.Header{}
			want.Set("X-RStudio-Root-Path", "/notebook/team-a/rstudio/")
			want.Set(user, "ann@example.com")
			if diff := cmp.Diff(want, with); diff != "" {
				t.Errorf("RStudio sees (-want +got):\n%s", diff)
			}
			if without := g.send(t, get("/notebook/team-a/code/")).request.header; len(without) > 0 {
				t.Errorf("code-server sees %v", without)
			}
		})
	}
}

// tricks are paths that are something else to who takes them apart in another way.
var tricks = []string{
	"/notebook/team-a/lab/../lab2/tree", "/notebook/team-a/lab/%2e%2e/lab2/tree", "/notebook/team-a/lab/%2E%2e%2Flab2/tree",
	"/notebook/team-a/lab/..%2f..%2fteam-b/lab/", "/notebook/team-a/lab/..%5c..%5cteam-b%5clab/", `/notebook/team-a/lab/..\..\team-b\lab/`,
	"/notebook/team-b/../team-a/lab/tree", "/notebook/team-a/lab//tree", "//notebook/team-a/lab/tree", "/notebook//team-b/lab/",
	"/notebook/team-a/lab/./tree", "/notebook/team-a/lab/;a/../../../team-b/lab/", "/notebook/team-a/lab/%252e%252e/", "/notebook/team-b/lab/%2e%2e/%2e%2e/team-a/code/metrics",
	"/notebook/team-a/code//metrics", "/notebook/team-a/code/./metrics", "/notebook/team-a/code/x/../metrics", "/notebook/team-a/code/metrics/../shell",
	"/notebook/team-a/code/%6detrics", "/notebook/team-a/code/metrics%2f..%2fshell", "/notebook/team-a/code/metrics;/../shell", "/notebook/team-a/code/metrics/", "/notebook/team-b/lab/x/../../../team-a/lab/",
}

// TestNoPathIsATrick sends them in meshes that take paths by any of the rules: whoever is let in is let in by the pod that is reached, and nobody who is
// not of its team ever is.
func TestNoPathIsATrick(t *testing.T) {
	for name, number := range meshconfig.MeshConfig_ProxyPathNormalization_NormalizationType_value {
		t.Run(name, func(t *testing.T) {
			p := newPilot(t, v1alpha1.RouteIstio, meshconfig.MeshConfig_ProxyPathNormalization_NormalizationType(number))
			g, reached := p.gateway(t, v1alpha1.RouteIstio), 0
			for _, trick := range tricks {
				got := g.send(t, get(trick))
				if got.cluster == "" {
					continue
				}
				reached++
				service, _, _ := strings.Cut(strings.TrimPrefix(got.cluster, "outbound|80||"), ".svc.")
				name, namespace, _ := strings.Cut(service, ".")
				door := p.door(t, namespace+"/"+name+"-0", 8888, false)
				owner := map[string]string{"team-a": "ann@example.com", "team-b": "zed@example.com"}[namespace]
				if owner == "" {
					t.Fatalf("%s goes to %s", trick, service)
				}
				for who, c := range map[string]call{
					"nobody": {principal: ingress}, "zoe@example.com": {principal: ingress}, "ann@example.com": {principal: ingress}, "zed@example.com": {principal: ingress},
				} {
					c.request = got.request
					c.request.header = http.Header{}
					c.request.header.Set(user, who)
					if opened := door.opens(t, c); opened != (who == owner) {
						t.Errorf("%s is %s of %s, where %s is let in: %v", trick, got.request.path, service, who, opened)
					}
				}
			}
			if reached < len(tricks)/2 {
				t.Errorf("only %d of %d reach a notebook: the others show nothing", reached, len(tricks))
			}
		})
	}
}

// TestMetricsAreNoWayIn asks as Prometheus does for all that begins as what it may see.
func TestMetricsAreNoWayIn(t *testing.T) {
	for name, number := range meshconfig.MeshConfig_ProxyPathNormalization_NormalizationType_value {
		p := newPilot(t, v1alpha1.RouteIstio, meshconfig.MeshConfig_ProxyPathNormalization_NormalizationType(number))
		sidecar := p.gateway(t, v1alpha1.RouteIstio).manager // that of a sidecar takes paths by the same rule
		door := p.door(t, "team-a/code-0", 8888, false)
		for _, path := range []string{
			"/metrics/../shell", "/metrics/%2e%2e/shell", "/metrics%2f..%2fshell", "/metrics/..;/shell", "/metrics//../shell", "/metricsx", "/metrics/x", "/Metrics", "/a/metrics", "/metrics%00",
		} {
			seen, _ := normalised(sidecar, path)
			if door.opens(t, call{principal: "cluster.local/ns/istio-system/sa/prometheus", request: get(seen)}) {
				t.Errorf("%s: %s is let in as %s", name, path, seen)
			}
		}
	}
}
