// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/internal/offline"
)

// suspension says why a plan holds no pods, where that is because the job is suspended.
func suspension(o offline.Object, stored *unstructured.Unstructured) []string {
	const path = "spec.runPolicy.suspend"
	if on, _, err := unstructured.NestedBool(stored.Object, "spec", "runPolicy", "suspend"); err != nil || !on {
		return nil
	}
	return []string{o.Problem(path, path+" is true: the pods follow when it is set to false").Error()}
}

// unused says which parameters of an experiment stand nowhere in its template, so that trials with other values of them are alike.
func unused(o offline.Object, stored *unstructured.Unstructured) []string {
	template, there, err := unstructured.NestedMap(stored.Object, "spec", "trialTemplate")
	if err != nil || !there || stored.GetKind() != "Experiment" || template["job"] == nil {
		return nil
	}
	text, err := json.Marshal(template)
	if err != nil {
		return nil
	}
	parameters, _, err := unstructured.NestedSlice(stored.Object, "spec", "parameters")
	if err != nil {
		return nil
	}
	var notes []string
	for i, p := range parameters {
		content, _ := p.(map[string]any)
		if name, _ := content["name"].(string); !strings.Contains(string(text), "${trialParameters."+name+"}") && !strings.Contains(string(text), fmt.Sprintf(`"source":%q`, name)) {
			path := fmt.Sprintf("spec.parameters[%d]", i)
			notes = append(notes, o.Problem(path, fmt.Sprintf("%s: ${trialParameters.%s} stands nowhere in spec.trialTemplate.job: trials with other values of it are alike", path, name)).Error())
		}
	}
	return notes
}
