// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/millrace-ml/millrace/internal/health"
)

// Healing says which nodes are bad: pods leave them, and new ones are kept away.
type Healing struct {
	// Enabled is false where pods stay on any node, and are replaced only when the cluster takes them away.
	Enabled bool `json:"enabled"`
	// Conditions are node conditions that make a node bad: Type, which is bad when True, or Type=Status. * stands for any letters.
	Conditions []string `json:"conditions"`
	// Taints are keys of taints NoSchedule and NoExecute that make a node bad. * stands for any letters but /.
	Taints []string `json:"taints"`
	// NotReadyAfter is how long a node may be silent or not ready.
	NotReadyAfter metav1.Duration `json:"notReadyAfter"`
	// AvoidFor is how long devices that were unhealthy and pods that were turned away are held against a node: one device makes other
	// nodes preferred, two, or three pods turned away, make the node avoided.
	AvoidFor metav1.Duration `json:"avoidFor"`
	// Cordon is Never or Allow: whether nodes of Accelerators that are bad by conditions, or by what several pods saw, are cordoned.
	Cordon string `json:"cordon"`
	// MaxCordonedPercent is how many of the nodes of an Accelerator may be cordoned, by whomever, for Millrace to cordon one more.
	MaxCordonedPercent int32 `json:"maxCordonedPercent"`
}

// The values of Cordon.
const (
	cordonNever = "Never"
	cordonAllow = "Allow"
)

func defaultHealing() Healing {
	p := health.Default()
	return Healing{
		Enabled: true, Conditions: p.Conditions, Taints: p.Taints,
		NotReadyAfter: metav1.Duration{Duration: p.NotReadyAfter}, AvoidFor: metav1.Duration{Duration: p.AvoidFor},
		Cordon: cordonNever, MaxCordonedPercent: p.MaxCordonedPercent,
	}
}

// Policy is what nodes are judged by.
func (h Healing) Policy() health.Policy {
	return health.Policy{
		Off: !h.Enabled, Conditions: h.Conditions, Taints: h.Taints, NotReadyAfter: h.NotReadyAfter.Duration, AvoidFor: h.AvoidFor.Duration,
		Cordon: h.Cordon == cordonAllow, MaxCordonedPercent: h.MaxCordonedPercent,
	}
}

func (h Healing) validate(at *field.Path) field.ErrorList {
	var all field.ErrorList
	for i, listed := range h.Conditions {
		kind, status, given := strings.Cut(listed, "=")
		if ready, err := path.Match(kind, string(corev1.NodeReady)); err != nil || kind == "" || ready {
			all = append(all, field.Invalid(at.Child("conditions").Index(i), listed, "must be the type of a condition, such as KernelDeadlock or Gpu*, and not match Ready, which is what notReadyAfter is for"))
		}
		if given && !slices.Contains([]string{"True", "False", "Unknown"}, status) {
			all = append(all, field.Invalid(at.Child("conditions").Index(i), listed, "must end in =True, =False or =Unknown, or have no ="))
		}
	}
	for i, key := range h.Taints {
		if _, err := path.Match(key, ""); err != nil || key == "" {
			all = append(all, field.Invalid(at.Child("taints").Index(i), key, "must be the key of a taint, such as example.com/gpu-broken or example.com/*"))
		}
	}
	all = append(all, positive(at.Child("notReadyAfter"), h.NotReadyAfter)...)
	all = append(all, positive(at.Child("avoidFor"), h.AvoidFor)...)
	return append(all, h.validateCordon(at)...)
}

func (h Healing) validateCordon(at *field.Path) field.ErrorList {
	all := oneOf(at.Child("cordon"), h.Cordon, cordonNever, cordonAllow)
	if h.Cordon == cordonAllow && !h.Enabled {
		all = append(all, field.Invalid(at.Child("cordon"), h.Cordon, "needs enabled: true, without which no node is bad"))
	}
	if h.MaxCordonedPercent < 1 || h.MaxCordonedPercent > 100 {
		all = append(all, field.Invalid(at.Child("maxCordonedPercent"), h.MaxCordonedPercent, "must be from 1 to 100"))
	}
	return all
}
