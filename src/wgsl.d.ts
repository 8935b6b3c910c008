declare module "*.wgsl" {
  const source: string;
  export default source;
}
declare module "*.py" {
  const source: string;
  export default source;
}
