// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
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
