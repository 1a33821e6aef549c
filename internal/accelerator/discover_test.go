// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/internal/offline"
	"github.com/millrace-ml/millrace/test/golden"
)

// cluster is a case: nodes, and device classes with their devices.
type cluster struct {
	Nodes   []corev1.Node `json:"nodes"`
	Classes []Class       `json:"classes"`
}

// TestWhatIsDiscoveredIsValid compares what is discovered in clusters with golden files, and lets the CRD's own rules judge it.
func TestWhatIsDiscoveredIsValid(t *testing.T) {
	schemas, err := offline.Load(crd.FS)
	if err != nil {
		t.Fatal(err)
	}
	golden.CasesIn(t, "testdata/discover", func(t *testing.T, c *cluster) any {
		var out strings.Builder
		for _, a := range Discover(c.Nodes, c.Classes) {
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&a)
			if err != nil {
				t.Fatal(err)
			}
			if _, refusal := schemas.Admit(t.Context(), &unstructured.Unstructured{Object: content}, ""); !refusal.Empty() {
				t.Errorf("%s is not valid: %v", a.Name, refusal)
			}
			manifest, err := yaml.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			out.WriteString("---\n" + string(manifest))
		}
		return out.String()
	})
}
