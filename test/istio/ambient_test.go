// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/test"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	tenants "github.com/millrace-ml/millrace/internal/profile"
)

// TestAmbientLetsInNobodyByAGateway looks at what pilot tells ztunnel of the policies: rules that look at HTTP are not among it.
func TestAmbientLetsInNobodyByAGateway(t *testing.T) {
	test.SetForTest(t, &features.EnableAmbient, true)
	istio, kube := manifests(t, estate(t, v1alpha1.RouteIstio))
	s := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{KubernetesObjectString: istio + "\n---\n" + kube})
	told := map[string]string{}
	for _, p := range s.Env().AmbientIndexes.Policies(nil) {
		told[p.Authorization.GetNamespace()+"/"+p.Authorization.GetName()] = prototext.Format(p.Authorization)
	}
	members, viewers := told["team-a/"+tenants.MembersPolicy], told["team-a/"+tenants.ViewersPolicy]
	for _, in := range []string{`"team-a"`, "/ns/builds/sa/ci.bot"} {
		if !strings.Contains(members, in) {
			t.Errorf("%s is not let in:\n%s", in, members)
		}
	}
	for _, out := range []string{ingress, gatewayAPI, manager, `"istio-system"`} {
		if strings.Contains(members, out) {
			t.Errorf("%s is let in:\n%s", out, members)
		}
	}
	if viewers == "" || strings.Contains(viewers, "groups") {
		t.Errorf("viewers are let in:\n%s", viewers)
	}
}
