// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/config/rbac"
	"github.com/millrace-ml/millrace/internal/version"
)

// managerName is the Deployment of the manager, and its label.
const managerName = "millrace-manager"

// reinstall is the remedy for what is not as this version installs it.
const reinstall = "apply the install.yaml of this version: kubectl apply --server-side --force-conflicts -f install.yaml"

func kubernetesVersion(ctx context.Context, p patient) ([]finding, error) {
	var is struct {
		GitVersion string `json:"gitVersion"`
	}
	_, err := p.get(ctx, "/version", &is)
	return []finding{{Status: fine, Found: is.GitVersion}}, err
}

// definition is the part of a CustomResourceDefinition that decides what jobs may say.
type definition struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Versions []struct {
			Name   string         `json:"name"`
			Schema map[string]any `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type    string `json:"type"`
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"conditions"`
	} `json:"status"`
}

// definitions compares the CRDs of this version with those of the cluster.
func definitions(ctx context.Context, p patient) ([]finding, error) {
	files, err := crd.FS.ReadDir("bases")
	if err != nil {
		return nil, err
	}
	var found []finding
	for _, file := range files {
		text, err := crd.FS.ReadFile("bases/" + file.Name())
		if err != nil {
			return nil, err
		}
		var want, has definition
		if err := yaml.Unmarshal(text, &want); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file.Name(), err)
		}
		there, err := p.get(ctx, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"+want.Metadata.Name, &has)
		if err != nil {
			return nil, err
		}
		found = append(found, compareDefinition(want, has, there))
	}
	return found, nil
}

func compareDefinition(want, has definition, there bool) finding {
	f := finding{Status: fine, Found: want.Metadata.Name + " is that of this version"}
	if !there {
		return finding{
			Status: missing, Found: want.Metadata.Name + " is not installed", Means: "its objects cannot be made", Fix: reinstall,
		}
	}
	for _, c := range has.Status.Conditions {
		if c.Type == "Established" && c.Status != "True" {
			return finding{Status: warn, Found: want.Metadata.Name + " is not established: " + c.Message, Fix: reinstall}
		}
	}
	if !reflect.DeepEqual(want.Spec.Versions, has.Spec.Versions) {
		f.Status, f.Found = warn, want.Metadata.Name+" is not that of mill "+version.String()
		f.Means, f.Fix = "fields that only one of them knows are refused or lost", reinstall+", or use the mill of the version that is installed"
	}
	return f
}

// managers looks for the manager, and whether it runs and leads.
func managers(ctx context.Context, p patient) ([]finding, error) {
	var list appsv1.DeploymentList
	if _, err := p.get(ctx, "/apis/apps/v1/deployments?labelSelector=app.kubernetes.io%2Fname%3D"+managerName, &list); err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return []finding{{Status: missing, Found: "no Deployment " + managerName, Means: "jobs are accepted, and nothing comes of them", Fix: reinstall}}, nil
	}
	var found []finding
	for i := range list.Items {
		found = append(found, manager(&list.Items[i]))
	}
	return found, nil
}

func manager(d *appsv1.Deployment) finding {
	f := finding{Status: fine, Found: fmt.Sprintf("%s/%s: %d of %d ready", d.Namespace, d.Name, d.Status.ReadyReplicas, replicasOf(d))}
	var image string
	for _, c := range d.Spec.Template.Spec.Containers {
		image = c.Image
		f.Found += ", image " + image
	}
	if d.Status.ReadyReplicas == 0 {
		f.Status, f.Means = warn, "jobs are accepted, and nothing comes of them"
		f.Fix = fmt.Sprintf("kubectl -n %s describe deployment %s; kubectl -n %s logs deployment/%s", d.Namespace, d.Name, d.Namespace, d.Name)
		return f
	}
	_, tag, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	if mine := version.String(); isRelease(tag) && isRelease(mine) && tag != mine {
		f.Status, f.Means, f.Fix = warn, "mill is "+mine+": it plans as that version does", "use the mill of "+tag
	}
	return f
}

func replicasOf(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// isRelease is true for v1.2.3 and false for a commit, a content's hash or dev.
func isRelease(tag string) bool {
	var a, b, c int
	n, err := fmt.Sscanf(tag, "v%d.%d.%d", &a, &b, &c)
	return n == 3 && err == nil && fmt.Sprintf("v%d.%d.%d", a, b, c) == tag
}

// permissions compares what the manager may do with what it needs.
func permissions(ctx context.Context, p patient) ([]finding, error) {
	var want, has rbacv1.ClusterRole
	if err := yaml.Unmarshal(rbac.Role, &want); err != nil {
		return nil, fmt.Errorf("reading the manager's role: %w", err)
	}
	there, err := p.get(ctx, "/apis/rbac.authorization.k8s.io/v1/clusterroles/"+want.Name, &has)
	if err != nil {
		return nil, err
	}
	bound, err := p.get(ctx, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/"+want.Name, &rbacv1.ClusterRoleBinding{})
	if err != nil {
		return nil, err
	}
	means := "what the manager may not do fails, and its jobs with it"
	if !there || !bound {
		return []finding{{Status: missing, Found: "no ClusterRole and ClusterRoleBinding " + want.Name, Means: means, Fix: reinstall}}, nil
	}
	if lacks := lacking(want.Rules, has.Rules); len(lacks) > 0 {
		return []finding{{Status: warn, Found: "the manager may not " + several(lacks), Means: means, Fix: reinstall}}, nil
	}
	return []finding{{Status: fine, Found: "ClusterRole " + want.Name + " allows what this version needs"}}, nil
}

// lacking is what rules ask for and others do not give, as "verb resource.group".
func lacking(want, has []rbacv1.PolicyRule) []string {
	var lacks []string
	for _, rule := range want {
		for _, need := range single(rule) {
			if !slices.ContainsFunc(has, func(r rbacv1.PolicyRule) bool { return gives(r, need) }) {
				lacks = append(lacks, strings.TrimSuffix(need.Verbs[0]+" "+need.Resources[0]+"."+need.APIGroups[0], "."))
			}
		}
	}
	return lacks
}

// single takes a rule apart into rules of one verb, resource and group.
func single(rule rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var all []rbacv1.PolicyRule
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				all = append(all, rbacv1.PolicyRule{
					APIGroups: []string{group}, Resources: []string{resource}, Verbs: []string{verb}, ResourceNames: rule.ResourceNames,
				})
			}
		}
	}
	return all
}

func gives(rule, need rbacv1.PolicyRule) bool {
	has := func(list []string, word string) bool {
		return slices.Contains(list, word) || slices.Contains(list, "*")
	}
	// A rule for all names gives what is needed of some, one for some names no more than these.
	named := !slices.ContainsFunc(need.ResourceNames, func(name string) bool { return !slices.Contains(rule.ResourceNames, name) })
	return (len(rule.ResourceNames) == 0 || len(need.ResourceNames) > 0 && named) && has(rule.APIGroups, need.APIGroups[0]) &&
		has(rule.Resources, need.Resources[0]) && has(rule.Verbs, need.Verbs[0])
}

// several names the first of many.
func several(all []string) string {
	const most = 4
	if more := len(all) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), more)
	}
	return strings.Join(all, ", ")
}
