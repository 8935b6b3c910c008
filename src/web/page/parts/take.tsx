export function TakeCard() {
  return null;
}
