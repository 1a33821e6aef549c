// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"slices"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httprbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	networkrbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pilot/test/xdstest"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/test/util/retry"
	"istio.io/istio/pkg/wellknown"
	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// gatewayAPI is the principal of the gateway that Istio makes for a Gateway of the Gateway API.
const gatewayAPI = "cluster.local/ns/gateways/sa/main-istio"

// ingresses are the kinds of routes that pilot knows, and the proxy of the gateway each goes over.
var ingresses = map[v1alpha1.RouteKind]struct {
	namespace string
	labels    map[string]string
}{
	v1alpha1.RouteIstio:   {"istio-system", map[string]string{"istio": "ingressgateway"}},
	v1alpha1.RouteGateway: {"gateways", map[string]string{"gateway.networking.k8s.io/gateway-name": "main"}},
}

// table is what pilot calls the routes of port 80. It leads to as many notebooks as testdata has.
const (
	table     = "http.80"
	notebooks = 7
)

// pilot is a real pilot that has read what there is.
type pilot struct {
	*xds.FakeDiscoveryServer
	// pods are there, by namespace and name.
	pods map[string]corev1.Pod
}

// newPilot is one in a mesh that takes paths by a rule, with routes of a kind.
func newPilot(t *testing.T, kind v1alpha1.RouteKind, paths meshconfig.MeshConfig_ProxyPathNormalization_NormalizationType) pilot {
	t.Helper()
	m := mesh.DefaultMeshConfig()
	m.PathNormalization = &meshconfig.MeshConfig_ProxyPathNormalization{Normalization: paths}
	objects := estate(t, kind)
	istio, kube := manifests(t, objects)
	p := pilot{
		xds.NewFakeDiscoveryServer(t, xds.FakeOptions{ConfigString: istio, KubernetesObjectString: kube, MeshConfig: m}), map[string]corev1.Pod{},
	}
	for _, o := range objects {
		if o.GetKind() == "Pod" {
			p.pods[o.GetNamespace()+"/"+o.GetName()] = *typed[corev1.Pod](t, o)
		}
	}
	return p
}

// gateway is what pilot sends to the gateway of a kind of routes, as soon as it leads to every notebook: HTTPRoutes are taken in by and by.
func (p pilot) gateway(t *testing.T, kind v1alpha1.RouteKind) gateway {
	t.Helper()
	var g gateway
	retry.UntilOrFail(t, func() bool {
		g = p.gatewayNow(t, kind)
		clusters := map[string]bool{}
		for _, r := range hosted(g.routes, "*") {
			clusters[r.GetRoute().GetCluster()] = true
		}
		delete(clusters, "")
		return len(clusters) == notebooks
	}, retry.Timeout(time.Minute))
	return g
}

// gatewayNow is what pilot sends to it by what it knows now.
func (p pilot) gatewayNow(t *testing.T, kind v1alpha1.RouteKind) gateway {
	t.Helper()
	in := ingresses[kind]
	proxy := p.SetupProxy(&model.Proxy{
		Type: model.Router, ConfigNamespace: in.namespace, Labels: in.labels, Metadata: &model.NodeMetadata{Labels: in.labels, Namespace: in.namespace},
	})
	listeners := p.Listeners(proxy)
	xdstest.ValidateListeners(t, listeners)
	routes := p.RoutesFromListeners(proxy, listeners)
	xdstest.ValidateRouteConfigurations(t, routes)
	g := gateway{routes: xdstest.ExtractRouteConfigurations(routes)[table]}
	for _, l := range listeners {
		for _, chain := range l.GetFilterChains() {
			if m := xdstest.ExtractHTTPConnectionManager(t, chain); m != nil && m.GetRds().GetRouteConfigName() == table {
				g.manager = m
			}
		}
	}
	return g
}

// door is what the sidecar of a pod asks of who comes to a port, which no Service need name, with HTTP or without.
func (p pilot) door(t *testing.T, name string, port uint32, tcp bool) door {
	t.Helper()
	pod, known := p.pods[name]
	if !known {
		t.Fatalf("no pod %s", name)
	}
	listeners := p.Listeners(p.SetupProxy(&model.Proxy{
		ID: pod.Name + "." + pod.Namespace, IPAddresses: []string{pod.Status.PodIP}, ConfigNamespace: pod.Namespace, Labels: pod.Labels,
		Metadata: &model.NodeMetadata{Labels: pod.Labels, Namespace: pod.Namespace},
	}))
	xdstest.ValidateListeners(t, listeners)
	chains := xdstest.ExtractListener(model.VirtualInboundListenerName, listeners).GetFilterChains()
	of := func(port uint32) []*listenerv3.FilterChain {
		return slices.DeleteFunc(slices.Clone(chains), func(c *listenerv3.FilterChain) bool {
			return c.GetName() == model.VirtualInboundBlackholeFilterChainName || c.GetFilterChainMatch().GetDestinationPort().GetValue() != port
		})
	}
	candidates := of(port)
	if len(candidates) == 0 {
		candidates = of(0)
	}
	var doors []door
	for _, c := range candidates {
		if m := xdstest.ExtractHTTPConnectionManager(t, c); (m == nil) == tcp {
			doors = append(doors, guards(t, c, m))
		}
	}
	if len(doors) == 0 {
		return nil
	}
	for _, d := range doors[1:] {
		if diff := cmp.Diff(doors[0], d, protocmp.Transform()); diff != "" {
			t.Fatalf("with and without TLS other rules apply:\n%s", diff)
		}
	}
	return doors[0]
}

// guards are the rules of a chain of filters.
func guards(t *testing.T, c *listenerv3.FilterChain, m *hcm.HttpConnectionManager) door {
	t.Helper()
	var rules door
	for _, f := range c.GetFilters() {
		if f.GetName() == wellknown.RoleBasedAccessControl {
			rules = append(rules, xdstest.UnmarshalAny[networkrbac.RBAC](t, f.GetTypedConfig()).GetRules())
		}
	}
	for _, f := range m.GetHttpFilters() {
		if f.GetName() == wellknown.HTTPRoleBasedAccessControl {
			rules = append(rules, xdstest.UnmarshalAny[httprbac.RBAC](t, f.GetTypedConfig()).GetRules())
		}
	}
	if len(rules) == 0 {
		t.Fatalf("nothing guards %s", c.GetName())
	}
	return rules
}
