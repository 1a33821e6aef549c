// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"strings"
	"testing"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config/analysis/analyzers"
	"istio.io/istio/pkg/config/analysis/local"
	"istio.io/istio/pkg/config/analysis/msg"
	"istio.io/istio/pkg/config/schema/collections"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	tenants "github.com/millrace-ml/millrace/internal/profile"
)

// TestIstioTakesEveryObject asks Istio's admission, which warns of what it takes but does not like.
func TestIstioTakesEveryObject(t *testing.T) {
	text, _ := manifests(t, estate(t, v1alpha1.RouteIstio))
	configs, others, err := crd.ParseInputs(text)
	if err != nil || len(others) > 0 {
		t.Fatalf("%v; not Istio's: %v", err, others)
	}
	kinds := map[string]int{}
	for _, c := range configs {
		kinds[c.GroupVersionKind.Kind]++
		schema, _ := collections.PilotGatewayAPI().FindByGroupVersionAliasesKind(c.GroupVersionKind)
		if warning, err := schema.ValidateConfig(c); warning != nil || err != nil {
			t.Errorf("%s %s/%s: %v %v", c.GroupVersionKind.Kind, c.Namespace, c.Name, warning, err)
		}
	}
	if kinds["VirtualService"] != notebooks || kinds["AuthorizationPolicy"] != 5 {
		t.Errorf("looked at %v", kinds)
	}
}

// TestAnalyzersFindNothing is istioctl analyze over everything there is.
func TestAnalyzersFindNothing(t *testing.T) {
	for kind := range ingresses {
		istio, kube := manifests(t, estate(t, kind))
		a := local.NewSourceAnalyzer(analyzers.AllCombined(), "", "istio-system", nil)
		if err := a.AddTestReaderKubeSource([]local.ReaderSource{{Name: "all", Reader: strings.NewReader(istio + "\n---\n" + kube)}}); err != nil {
			t.Fatal(err)
		}
		result, err := a.Analyze(t.Context().Done())
		if err != nil || len(result.ExecutedAnalyzers) < 30 {
			t.Fatalf("%v, by %v", err, result.ExecutedAnalyzers)
		}
		for _, m := range result.Messages {
			if m.Type == msg.NoMatchingWorkloadsFound && m.Resource.Metadata.FullName.Name == tenants.ViewersPolicy {
				continue // a team may have nothing yet that its viewers may see
			}
			t.Errorf("%s: %s", kind, m.String())
		}
	}
}
