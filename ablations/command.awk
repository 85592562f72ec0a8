# Logistic regression by stochastic gradient descent on 300 made-up examples of 8 features, scored on 400 others.
# Reads a state (epoch, weights, velocities); writes the state after one epoch more, or the scores as JSON.

function uniform() { # Lehmer's generator: exact in doubles, so that every awk draws the same
    random = (random * 16807) % 2147483647
    return random / 2147483647
}

function normal(    sum, draw) { # the sum of 12 uniform draws, less its mean
    sum = -6
    for (draw = 0; draw < 12; draw++) sum += uniform()
    return sum
}

function seeded(number,    draw) {
    random = number + 1
    for (draw = 0; draw < 20; draw++) uniform()
}

function chance(example,    sum, feature) {
    sum = weight[0]
    for (feature = 1; feature <= FEATURES; feature++) sum += weight[feature] * x[example, feature]
    return 1 / (1 + exp(-sum))
}

function log_loss(example,    p) {
    p = label[example] ? chance(example) : 1 - chance(example)
    return -log(p > 1e-12 ? p : 1e-12)
}

/^epoch/ { epoch = $2 }
/^weight/ { weight[$2] = $3; velocity[$2] = $4 }

END {
    FEATURES = 8; TRAIN = 300; TEST = 400
    seeded(7)
    for (example = 1; example <= TRAIN + TEST; example++) {
        sum = 0
        for (feature = 1; feature <= FEATURES; feature++) {
            value = normal()
            sum += value * (feature % 3 - 1 + feature / 8)
            spread = scale == "true" ? 1 : 2 ^ (feature - 6) # the features of the raw data differ in scale
            x[example, feature] = value * spread
        }
        label[example] = sum + normal() > 0
    }
    if (mode == "train") train_epoch(); else score()
}

function train_epoch(    place, other, example, feature, error, value, loss) {
    seeded(1000 * seed + epoch)
    for (feature = 0; feature <= FEATURES && epoch == 0; feature++) weight[feature] = 0.1 * normal()
    for (place = 1; place <= TRAIN; place++) order[place] = place
    for (place = TRAIN; place > 1; place--) {
        other = 1 + int(uniform() * place)
        example = order[place]; order[place] = order[other]; order[other] = example
    }
    for (place = 1; place <= TRAIN; place++) {
        example = order[place]
        loss += log_loss(example)
        error = label[example] - chance(example)
        for (feature = 0; feature <= FEATURES; feature++) {
            value = feature ? x[example, feature] : 1
            velocity[feature] = momentum * velocity[feature] + rate * error * value
            weight[feature] += velocity[feature]
        }
    }
    printf "{\"step\": %d, \"steps\": %d, \"loss\": %.17g}\n", epoch + 1, epochs, loss / TRAIN >> log_file
    print "epoch", epoch + 1
    for (feature = 0; feature <= FEATURES; feature++)
        printf "weight %d %.17g %.17g\n", feature, weight[feature], velocity[feature]
}

function score(    example, right, losses, separator) {
    for (example = TRAIN + 1; example <= TRAIN + TEST; example++) {
        right = right separator ((chance(example) > 0.5) == label[example])
        losses = losses separator sprintf("%.17g", log_loss(example))
        separator = ", "
    }
    printf "{\"accuracy\": [%s], \"log_loss\": [%s]}\n", right, losses
}
