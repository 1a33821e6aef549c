// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package study

import (
	"testing"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Names that nobody has are refused where an expression reads them, and nowhere else.
func TestConstraintsReadParametersThereAre(t *testing.T) {
	for expression, want := range map[string]string{
		"params.lr < 0.5": "",
		"!has(params.beta) || params.beta > params.lr":       "",
		"params.all(p, p != 'lr' || params.lr > 0.1)":        "",
		"params.exists(p, p == 'beta')":                      "",
		"params.filter(p, p != 'lr').size() < 3":             "",
		"params.map(p, p).size() == 2 && params.size() == 2": "",
		"string(params.lr) != 'params.learning_rate'":        "",
		"'lr' in params && params['lr'] > 0.0":               "",
		"params.lrr < 0.5":                                   "params.lrr is no parameter: correct the name",
		"params.all(p, p != 'lr' || params . lrr > 0.1)":     "params.lrr is no parameter: correct the name",
		"has(params.lr) && params.size > 1.0":                "params.size is no parameter: correct the name",
		"params.lr + 1.0 == 2.0 ? 'yes' : 'no'":              "it is a string, and must be true or false",
	} {
		s := v1alpha1.Search{
			Parameters:  []v1alpha1.Parameter{{Name: "lr", Type: v1alpha1.ParameterDouble}, {Name: "beta", Type: v1alpha1.ParameterDouble}},
			Constraints: []v1alpha1.Constraint{{Expression: expression}},
		}
		got := ""
		if _, faults := ProblemOf(s, "team", "digits"); len(faults) > 0 {
			got = faults[0].Message
		}
		if got != want {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
	}
}
