# The manager, and the launcher for users' pods. They are built before the image, by `make build`, so that it needs no compiler and no
# registry: this file works with Docker (`make build && docker build .`) and with buildah.
FROM scratch
COPY bin/manager bin/launcher /
USER 65532:65532
ENTRYPOINT ["/manager"]
