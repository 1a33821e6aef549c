// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/podspec"
)

// pod is the pod of a member: the user's template, found under its host name, with the rendezvous in its environment.
func pod(m framework.Member, attempt int32) *corev1.Pod {
	template := m.Role.Template.DeepCopy()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: m.Name(), Namespace: m.Job.Namespace,
			Labels: labels(m, template.Labels, attempt), Annotations: template.Annotations,
			Finalizers: template.Finalizers,
		},
		Spec: template.Spec,
	}
	p.Spec.Hostname, p.Spec.Subdomain = m.Name(), m.Job.Name
	p.Spec.RestartPolicy = restartPolicy(m)
	if s := m.Job.Spec.Scheduling; s != nil && p.Spec.PriorityClassName == "" {
		p.Spec.PriorityClassName = s.PriorityClassName
	}
	podspec.AddEnv(&p.Spec, reach(m), env(m))
	if m.Row.PortName != "" {
		podspec.AddPort(&p.Spec, m.Role.Main, m.Row.PortName, m.Role.Port)
	}
	connect(&p.Spec, m)
	podspec.ResolveOnHost(&p.Spec)
	podspec.ExplainTermination(&p.Spec)
	return p
}

// labels are the user's, and ours over them: selectors depend on ours.
func labels(m framework.Member, users map[string]string, attempt int32) map[string]string {
	all := maps.Clone(users)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, map[string]string{
		names.ManagedBy:   names.Manager,
		names.TrainingJob: m.Job.Name,
		names.Role:        names.Lower(m.Role.Name),
		names.Index:       strconv.Itoa(m.Index),
		names.Attempt:     strconv.Itoa(int(attempt)),
	})
	return all
}

// restartPolicy leaves restarts to the kubelet where it can make them in place. What is restarted together, by exit
// code, or not at all must end first, and so must a replica without a budget.
func restartPolicy(m framework.Member) corev1.RestartPolicy {
	inPlace := m.Role.RestartPolicy == v1alpha1.RestartOnFailure && m.Scope() == v1alpha1.ScopeReplica && budget(m.Job) > 0
	if inPlace {
		return corev1.RestartPolicyOnFailure
	}
	return corev1.RestartPolicyNever
}

// reach is the container whose environment is the rendezvous's, or all of them.
func reach(m framework.Member) int {
	if m.Row.MainOnly {
		return m.Role.Main
	}
	return podspec.Every
}

func env(m framework.Member) []corev1.EnvVar {
	var vars []corev1.EnvVar
	for _, v := range m.Row.Env {
		if value := v.Value(m); value != nil {
			vars = append(vars, corev1.EnvVar{Name: v.Name, Value: *value})
		}
	}
	return vars
}
