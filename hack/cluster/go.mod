module github.com/millrace-ml/millrace/hack/cluster

go 1.26
