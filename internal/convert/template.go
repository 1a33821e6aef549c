// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
)

// template takes a role's template and removes what a TrainingJob sets itself or no pod has.
func (c *conversion) template(role *fields, p *part) map[string]any {
	template := role.plain("template")
	if template == nil {
		c.fail(role.at("template"), "Required value")
		return nil
	}
	path := role.at("template")
	c.prune(template, path)
	c.podMeta(template, path)
	spec, ok := template["spec"].(map[string]any)
	if !ok {
		c.fail(path+".spec", "Required value")
		return nil
	}
	c.podSpec(&fields{log: c.log, path: path + ".spec", left: spec}, p)
	c.nameMain(spec)
	return template
}

// prune removes what no pod template has: an API server would refuse the job for it.
func (c *conversion) prune(template map[string]any, path string) {
	if spec, ok := template["spec"].(map[string]any); ok {
		for _, key := range []string{"containers", "initContainers"} {
			for i, container := range items(spec[key]) {
				content, _ := container.(map[string]any)
				c.spell(content, fmt.Sprintf("%s.spec.%s[%d]", path, key, i))
			}
		}
	}
	err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(template, &corev1.PodTemplateSpec{}, true)
	strict, ok := runtime.AsStrictDecodingError(err)
	if !ok {
		return // the API server words what is of a wrong type better
	}
	for _, one := range strict.Errors() {
		_, quoted, _ := strings.Cut(one.Error(), "unknown field ")
		field, err := strconv.Unquote(quoted)
		if err != nil {
			continue
		}
		remove(template, field)
		c.lost(path+"."+field, "a pod template has no such field")
	}
}

// spell writes numbers of a container as an API server wants them, and the last of the values of a variable, which is the one that counts.
func (c *conversion) spell(container map[string]any, path string) {
	resources, _ := container["resources"].(map[string]any)
	for _, list := range resources {
		quantities, _ := list.(map[string]any)
		for name, value := range quantities {
			if _, fraction := value.(float64); fraction {
				quantities[name] = number(value)
			}
		}
	}
	env, _ := container["env"].([]any)
	var kept []any
	for _, one := range env {
		variable, _ := one.(map[string]any)
		if value := variable["value"]; value != nil {
			variable["value"] = number(value)
		}
		if i := slices.IndexFunc(kept, called(number(variable["name"]))); i >= 0 {
			c.note(path+".env", "%s is there twice: the last counts", variable["name"])
			kept = slices.Delete(kept, i, i+1)
		}
		kept = append(kept, one)
	}
	if len(env) > 0 {
		container["env"] = kept
	}
}

// remove removes a field by a path such as spec.containers[0].gpus.
func remove(content any, path string) {
	steps := strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(".[]", r) })
	for i, step := range steps {
		switch at := content.(type) {
		case map[string]any:
			if i == len(steps)-1 {
				delete(at, step)
			}
			content = at[step]
		case []any:
			index, err := strconv.Atoi(step)
			if err != nil || index >= len(at) {
				return
			}
			content = at[index]
		}
	}
}

// podMeta keeps the labels and annotations of pods, which is all that a job's pods take from it.
func (c *conversion) podMeta(template map[string]any, path string) {
	content, ok := template["metadata"].(map[string]any)
	if !ok {
		delete(template, "metadata")
		return
	}
	meta := &fields{log: c.log, path: path + ".metadata", left: content}
	meta.drop(served...)
	for key := range content {
		if key != "labels" && key != "annotations" {
			meta.lose(key, "pods take their labels and annotations from a template, and their names from the job")
		}
	}
	if len(content) == 0 {
		delete(template, "metadata")
	}
}

// podSpec removes what the job decides.
func (c *conversion) podSpec(spec *fields, p *part) {
	if policy := spec.text("restartPolicy"); policy != "" && policy != string(c.effective(*p)) {
		c.lost(spec.at("restartPolicy"), "the role's restartPolicy, which is %s, decides, as it does in the original", c.effective(*p))
	}
	const host = "the rendezvous uses the host name, so the job sets it"
	spec.lose("hostname", host)
	spec.lose("subdomain", host)
}

// nameMain names the only container of a template, as the originals do: a container needs a name.
func (c *conversion) nameMain(spec map[string]any) {
	containers := containersOf(spec)
	if len(containers) == 1 && containers[0]["name"] == nil {
		containers[0]["name"] = c.row.container
	}
}

// containersOf are the containers of a pod spec that are objects.
func containersOf(spec map[string]any) []map[string]any {
	list, _ := spec["containers"].([]any)
	var found []map[string]any
	for _, item := range list {
		if container, ok := item.(map[string]any); ok {
			found = append(found, container)
		}
	}
	return found
}

// podOf is the pod spec of a part's template; an empty one where there is none.
func podOf(p *part) map[string]any {
	spec, _ := p.template["spec"].(map[string]any)
	return spec
}

// main is the container whose end is the replica's: the one with the framework's name, if it has one, or else the first.
func (c *conversion) main(p *part) map[string]any {
	containers := containersOf(podOf(p))
	row, known := framework.Find(c.row.framework)
	named := !known || row.Container != ""
	for _, container := range containers {
		if named && container["name"] == c.row.container {
			return container
		}
	}
	if len(containers) == 0 {
		return map[string]any{}
	}
	return containers[0]
}

// first moves a container to the front, where a main container is looked for. False when there is none of the name.
func first(spec map[string]any, name string) bool {
	list, _ := spec["containers"].([]any)
	i := slices.IndexFunc(list, called(name))
	if i < 0 {
		return false
	}
	moved := list[i]
	spec["containers"] = slices.Insert(slices.Delete(list, i, i+1), 0, moved)
	return true
}

// called finds an item of a list by its name.
func called(name string) func(item any) bool {
	return func(item any) bool {
		named, _ := item.(map[string]any)
		return named["name"] == name
	}
}

// words is what a container runs, in one line.
func words(container map[string]any) string {
	var found []string
	for _, key := range []string{"command", "args"} {
		list, _ := container[key].([]any)
		for _, word := range list {
			found = append(found, fmt.Sprint(word))
		}
	}
	return strings.Join(found, " ")
}

// port gives the main container of a role a port by name, unless it has one of the name.
func port(container map[string]any, name string, number int64) {
	ports, _ := container["ports"].([]any)
	if !slices.ContainsFunc(ports, called(name)) {
		container["ports"] = append(ports, map[string]any{"name": name, "containerPort": number})
	}
}

// typed is the job with its templates as far as they are readable, each role cut to what a contract can tell apart.
func (c *conversion) typed() *v1alpha1.TrainingJob {
	job := c.job.DeepCopy()
	job.Name, job.Spec.Roles = c.name(), nil
	for _, p := range c.parts {
		role := *p.DeepCopy()
		if role.Replicas != nil {
			role.Replicas = new(min(*role.Replicas, 2))
		}
		_ = runtime.DefaultUnstructuredConverter.FromUnstructured(p.template, &role.Template)
		job.Spec.Roles = append(job.Spec.Roles, role)
	}
	return job
}
