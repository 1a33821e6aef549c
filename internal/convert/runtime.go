// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	_ "embed"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

//go:embed runtimes.yaml
var runtimesText []byte

// trainingRuntime is what a TrainJob is completed by.
type trainingRuntime struct {
	// kind and namespace are empty where a runtime is known from Kubeflow Trainer itself.
	kind, namespace, name string
	spec                  map[string]any
}

// shipped are the runtimes Kubeflow Trainer is released with.
func shipped() ([]trainingRuntime, error) {
	text, err := yaml.YAMLToJSON(runtimesText)
	if err != nil {
		return nil, fmt.Errorf("reading the runtimes of Kubeflow Trainer: %w", err)
	}
	var list []any
	if err := kjson.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("reading the runtimes of Kubeflow Trainer: %w", err)
	}
	var found []trainingRuntime
	for _, item := range list {
		content, _ := item.(map[string]any)
		name, _ := content["name"].(string)
		spec, _ := content["spec"].(map[string]any)
		found = append(found, trainingRuntime{name: name, spec: spec})
	}
	return found, nil
}

// runtimesOf are the runtimes among objects.
func runtimesOf(objects []map[string]any) []trainingRuntime {
	var found []trainingRuntime
	for _, o := range objects {
		version, _ := o["apiVersion"].(string)
		kind, _ := o["kind"].(string)
		if !strings.HasPrefix(version, "trainer.kubeflow.org/") || !strings.HasSuffix(kind, "TrainingRuntime") {
			continue
		}
		meta, _ := o["metadata"].(map[string]any)
		name, _ := meta["name"].(string)
		namespace, _ := meta["namespace"].(string)
		spec, _ := o["spec"].(map[string]any)
		found = append(found, trainingRuntime{kind: kind, namespace: namespace, name: name, spec: spec})
	}
	return found
}

// runtime finds the runtime a TrainJob names: first among those that came with it, then among those everybody has.
func (c *conversion) runtime(kind, name string) (trainingRuntime, bool) {
	for _, r := range c.runtimes {
		namespace, _ := c.metadata["namespace"].(string)
		elsewhere := r.kind == "TrainingRuntime" && r.namespace != "" && namespace != "" && r.namespace != namespace
		if r.name == name && (r.kind == "" || r.kind == kind) && !elsewhere {
			r.spec = copyOf(r.spec)
			return r, true
		}
	}
	return trainingRuntime{}, false
}

func copyOf(content map[string]any) map[string]any { return runtime.DeepCopyJSON(content) }
